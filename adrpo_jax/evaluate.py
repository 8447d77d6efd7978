"""Held-out evaluation: the same prompts, noise and sampler for every run.

Standard errors are over prompts: the samples of one prompt are not independent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.modalities.flow_views import sample_keys
from adrpo_jax.prompt_means import by_category, mean_and_error, over_group
from adrpo_jax.rewards.sums import known
from adrpo_jax.types import Array, Modality, PyTree, Scores, Weights

KEY = 20_250_206  # of evaluation noise; does not depend on a run's seed


class Evaluation(NamedTuple):
  """Figures for the record, and the samples they were measured on.

  samples: 'images' [P, G, H, W, 3] uint8, 'rewards' and 'success' [P, G].
  """

  figures: dict[str, Any]
  samples: dict[str, np.ndarray]


def make_evaluate(
  modality: Modality,
  reward: Callable,
  measure: Callable[[Array, PyTree], Mapping[str, Array]],
  prompts: Callable[[np.ndarray], Mapping[str, PyTree]],
  categories: Sequence[str],
  *,
  samples_per_prompt: int,
  batch: int,
  place: Callable[[PyTree], PyTree] = lambda batch: batch,
  gather: Callable[[PyTree], PyTree] = lambda tree: tree,
) -> Callable[[PyTree, PyTree], Evaluation]:
  """(params, frozen) -> Evaluation, on P held-out prompts in equal batches.

  Args:
    modality: with a renoised view, so that the divergence of every method is
      measured alike: ⟨(v − v_ref)²⟩ at fresh noise on own samples.
    reward: the protocol's; success, held and fidelity are reported if measured.
    measure: (images, facts) -> name -> [P]: what is asked of a group of
      samples, its diversity for one.
    prompts: (ids) -> these of the held-out prompts, on the host.
    categories: [P], of the prompts.
    samples_per_prompt: G.
    batch: prompts in a batch; divides P.
    place: puts a batch of prompts onto the mesh.
    gather: gives every process all of a tree.
  """
  total = len(categories)
  if total % batch:
    raise InputError(
      f'Expected a number of held-out prompts that the evaluation batch of '
      f'{batch} divides, got {total}. Change eval.prompts or eval.batch.'
    )
  rollout = jax.jit(modality.rollout)
  decode = jax.jit(modality.decode)

  @jax.jit
  def of_groups(images, facts):
    return {'diversity_pixel': modality.diversity(images)} | dict(
      measure(images, facts)
    )

  @jax.jit
  def divergence(params, frozen, samples, part, key):
    keys = sample_keys(key, batch, samples_per_prompt)
    zeros = jnp.zeros((batch, samples_per_prompt))
    anchors = {'reference': frozen['reference']}
    terms = modality.loss_terms(
      params, frozen, anchors, samples, part, Weights(zeros, zeros), keys
    )
    return terms.metrics['divergence'].mean((1, 2))

  def evaluate(params: PyTree, frozen: PyTree) -> Evaluation:
    parts = []
    for start in range(0, total, batch):
      part = place(dict(prompts(np.arange(start, start + batch))))
      key = jax.random.fold_in(jax.random.key(KEY), start)
      samples = rollout(params, frozen, part, key)
      images = decode(frozen, samples)
      scores = reward(part, images)
      parts.append(
        gather(
          {
            'images': jnp.round(jnp.clip(images, 0, 1) * 255).astype(jnp.uint8),
            'rewards': scores.rewards,
            'valid': scores.valid,
            'divergence': divergence(params, frozen, samples, part, key),
            'groups': of_groups(images, part['facts']),
            'measures': scores.measures,
          }
        )
      )
    seen = jax.tree.map(
      lambda *leaves: np.concatenate(leaves), *map(jax.device_get, parts)
    )
    groups, measures = seen.pop('groups'), seen.pop('measures')
    figures = _figures(seen, groups, measures, categories)
    return Evaluation(figures, seen | measures)

  return evaluate


def _figures(
  seen: dict[str, np.ndarray],
  groups: dict[str, np.ndarray],
  measures: dict[str, np.ndarray],
  categories: Sequence[str],
) -> dict[str, Any]:
  valid = seen['valid']
  told: tuple[Any, ...] = seen['rewards'], valid, measures
  masks: dict[str, Any] = known(Scores(*told))
  judged = {k: over_group(v, masks[k]) for k, v in measures.items()}
  reward = over_group(seen['rewards'], valid)
  success = judged.get('success', reward)
  # Of what a prompt leaves free, where a world knows it; else of embeddings,
  # where there are any; else of pixels.
  diversity = judged.get('clip_diversity', groups['diversity_pixel'])
  found = {'reward': reward, 'success': success, 'diversity': diversity}
  found |= judged | groups | {'divergence': seen['divergence']}
  figures: dict[str, Any] = {}
  for name, per_prompt in found.items():
    figures[name], figures[f'{name}_se'] = mean_and_error(per_prompt)
  return figures | {
    'samples': int(valid.size),
    'by_category': by_category(success, categories),
  }
