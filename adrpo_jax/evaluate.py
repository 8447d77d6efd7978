"""Held-out evaluation: the same prompts, noise and sampler for every run.

Standard errors are over prompts: the samples of one prompt are not independent.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.rewards.weighted_sum import measure_masks
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.stats.prompt_means import by_category, mean_and_error, over_group
from adrpo_jax.types import (
  Array,
  Modality,
  PromptBatch,
  PyTree,
  Scores,
  Weights,
)

KEY = 20_250_206  # of evaluation noise; does not depend on a run's seed

# (prompts of a batch, on the host) -> other ones, [P] as before
Change = Callable[[PromptBatch], PromptBatch]


class Evaluation(NamedTuple):
  """Figures for the record, and the samples they were measured on.

  samples:   what their kind keeps of them, 'rewards' and measures [P, G]
  by_prompt: what the prompts are compared by, their success or else their
             reward, a mean over valid samples, [P]
  """

  figures: dict[str, Any]
  samples: dict[str, np.ndarray]
  by_prompt: np.ndarray


class Evaluate(Protocol):
  """(full parameters, frozen) -> Evaluation.

  It calls `between` before each batch, which may raise an error to end it.
  """

  def __call__(
    self,
    params: PyTree,
    frozen: PyTree,
    between: Callable[[], None] = ...,
  ) -> Evaluation: ...


def make_evaluate(
  modality: Modality,
  reward: Callable,
  measure: Callable[[Array, PyTree], Mapping[str, Array]],
  prompts: Callable[[np.ndarray], PromptBatch],
  categories: Sequence[str],
  *,
  arrays: Callable[[Array], Mapping[str, Array]],
  diagnosed: Sequence[str],
  samples_per_prompt: int,
  batch: int,
  place: Callable[[PyTree], PyTree] = lambda batch: batch,
  gather: Callable[[PyTree], PyTree] = lambda tree: tree,
  controls: Mapping[str, Change] = MappingProxyType({}),
) -> Evaluate:
  """Makes (params, frozen) -> Evaluation, on P held-out prompts in batches.

  Args:
    modality: one whose diagnostics measure the divergence of every method
      alike: for flows ⟨(v − v_ref)²⟩ at fresh noise on own samples.
    reward: the protocol's; success, facts and fidelity are reported where they
      are measured. Categories have the success, or else the reward.
    measure: (decoded, facts) -> name -> [P]: what is asked of a group of
      samples, its diversity for one.
    prompts: (ids) -> these of the held-out prompts, on the host.
    categories: [P], of the prompts.
    arrays: (decoded) -> name -> [P, G, ...], the arrays of samples to keep.
    diagnosed: diagnostics of a loss that are kept with them, [P, G, *].
    samples_per_prompt: G.
    batch: prompts in a batch; the last prompt fills up the last batch.
    place: puts a batch of prompts onto the mesh.
    gather: gives every process all of a tree.
    controls: name -> what is changed of a batch for a second rollout of the
      same noise. Its success, or else its reward, is the figure of that name.
  """
  total = len(categories)
  rollout = jax.jit(modality.rollout)
  decode, show = jax.jit(modality.decode), jax.jit(arrays)

  @jax.jit
  def of_groups(decoded, facts):
    return dict(modality.measures(decoded)) | dict(measure(decoded, facts))

  @jax.jit
  def diagnose(params, frozen, samples, part, key):
    keys = sample_keys(key, batch, samples_per_prompt)
    zeros = jnp.zeros((batch, samples_per_prompt))
    anchors = {'reference': frozen['reference']}
    terms = modality.loss_terms(
      params, frozen, anchors, samples, part, Weights(zeros, zeros), keys
    )
    counted = jnp.maximum(terms.mask.sum((1, 2)), 1)
    means = {
      name: (terms.mask * terms.metrics[name]).sum((1, 2)) / counted
      for name in ('divergence', 'entropy')
      if name in terms.metrics
    }
    return means, {name: terms.metrics[name] for name in diagnosed}

  def evaluate(
    params: PyTree,
    frozen: PyTree,
    between: Callable[[], None] = lambda: None,
  ) -> Evaluation:
    parts = []
    for start in range(0, total, batch):
      between()
      ids = np.minimum(np.arange(start, start + batch), total - 1)
      part = place(prompts(ids))
      key = jax.random.fold_in(jax.random.key(KEY), start)
      samples = rollout(params, frozen, part, key)
      decoded = decode(frozen, samples)
      scores = reward(part, decoded)
      gap, diagnostics = diagnose(params, frozen, samples, part, key)
      groups = of_groups(decoded, part.facts)
      shown = dict(show(decoded)) | diagnostics
      changed = {}
      for name, change in controls.items():
        other = place(change(prompts(ids)))
        answered = decode(frozen, rollout(params, frozen, other, key))
        changed[name] = reward(other, answered)
      parts.append(gather((shown, scores, groups | gap, changed)))
    shown, scores, groups, changed = jax.tree.map(
      lambda *leaves: np.concatenate(leaves)[:total],
      *map(jax.device_get, parts),
    )
    samples = shown | {'rewards': scores.rewards, 'valid': scores.valid}
    figures = evaluation_figures(scores, groups, categories)
    for name, of_change in changed.items():
      mean_and_se = mean_and_error(judged(of_change))
      figures[name], figures[f'{name}_se'] = mean_and_se
    return Evaluation(figures, samples | scores.measures, judged(scores))

  return evaluate


def with_further(first: Evaluate, further: Mapping[str, Evaluate]) -> Evaluate:
  """Makes an Evaluate that reports the figures of further ones too.

  Samples and scores by prompt are those of the first alone.

  Args:
    first: its figures keep their names.
    further: name -> another one. Its reward is the figure reward_NAME, with the
      standard error reward_NAME_se, and so on.
  """
  if not further:
    return first

  def evaluate(
    params: PyTree,
    frozen: PyTree,
    between: Callable[[], None] = lambda: None,
  ) -> Evaluation:
    evaluation = first(params, frozen, between)
    figures = dict(evaluation.figures)
    for name, other in further.items():
      figures |= _suffixed(other(params, frozen, between).figures, name)
    return evaluation._replace(figures=figures)

  return evaluate


def _suffixed(figures: Mapping[str, Any], name: str) -> dict[str, Any]:
  """Returns figures with a name behind theirs, before the _se of an error."""
  return {
    f'{key.removesuffix("_se")}_{name}{"_se" * key.endswith("_se")}': value
    for key, value in figures.items()
    if key != 'samples'
  }


def evaluation_figures(
  scores: Scores, groups: Mapping[str, np.ndarray], categories: Sequence[str]
) -> dict[str, Any]:
  """Makes the figures of an evaluation.

  Args:
    scores: of the samples, [P, G].
    groups: name -> [P], numbers of the groups; a diversity among them.
    categories: [P].

  Returns:
    Name -> mean over prompts, `name_se` its standard error, `by_category` of
    the success, or of the reward where success is not measured.
  """
  masks: dict[str, Any] = measure_masks(scores)
  measures: dict[str, Any] = dict(scores.measures)
  rewards, valid = np.asarray(scores.rewards), np.asarray(scores.valid)
  by_prompt = {k: over_group(v, masks[k]) for k, v in measures.items()}
  reward = over_group(rewards, valid)
  main = {'reward': reward, 'diversity': _diversity(by_prompt, groups)}
  figures: dict[str, Any] = {}
  for name, per_prompt in (main | by_prompt | dict(groups)).items():
    figures[name], figures[f'{name}_se'] = mean_and_error(per_prompt)
  return figures | {
    'samples': int(valid.size),
    'by_category': by_category(judged(scores), categories),
  }


def judged(scores: Scores) -> np.ndarray:
  """Returns the success of each prompt, or else its reward, [P]."""
  success = scores.measures.get('success')
  if success is None:
    return over_group(np.asarray(scores.rewards), np.asarray(scores.valid))
  mask = measure_masks(scores)['success']
  return over_group(np.asarray(success), np.asarray(mask))


def _diversity(
  by_prompt: Mapping[str, np.ndarray], groups: Mapping[str, np.ndarray]
) -> np.ndarray:
  """Returns the diversity of samples within a prompt, the first that exists.

  In this order: of what the prompt leaves free, as a world measures it; of CLIP
  embeddings; of the samples themselves.
  """
  diversity = groups.get('diversity', by_prompt.get('clip_diversity'))
  if diversity is not None:
    return diversity
  return next(v for name, v in groups.items() if name.startswith('diversity_'))
