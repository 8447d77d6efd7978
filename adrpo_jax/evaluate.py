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
from adrpo_jax.types import Array, Modality, PyTree, Weights

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
  figures: dict[str, Any] = {}

  def put(name: str, per_prompt: np.ndarray) -> None:
    known = per_prompt[np.isfinite(per_prompt)]
    figures[name] = float(known.mean()) if known.size else float('nan')
    error = known.std(ddof=1) / np.sqrt(known.size) if known.size > 1 else 0.0
    figures[f'{name}_se'] = float(error)

  def over_group(values: np.ndarray) -> np.ndarray:
    count = valid.sum(1)
    mean = np.sum(values * valid, 1) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)

  put('reward', over_group(seen['rewards']))
  success = over_group(measures.get('success', seen['rewards']))
  judged = {name: over_group(values) for name, values in measures.items()}
  # Of what a prompt leaves free, where a world knows it; else of embeddings,
  # where there are any; else of pixels.
  known = [judged.get('clip_diversity'), groups['diversity_pixel']]
  diversity = next(values for values in known if values is not None)
  found = {'success': success, 'diversity': diversity} | judged | groups
  for name, values in found.items():
    put(name, values)
  put('divergence', seen['divergence'])
  figures['samples'] = int(valid.size)
  names = np.array(categories)
  figures['by_category'] = {
    name: float(np.nanmean(success[names == name]))
    for name in dict.fromkeys(categories)
  }
  return figures
