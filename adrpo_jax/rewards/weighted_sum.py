"""The weighted sum of several rewards, some of which are only measured."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.normalizers import Normalizer, raw
from adrpo_jax.rewards.overlap import Stages, join, with_stages
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.types import Array, Metrics, PromptBatch, PyTree, Scores


def weighted_sum(
  rewards: Mapping[str, Reward],
  weights: Mapping[str, float],
  *,
  normalizers: Mapping[str, Normalizer] | None = None,
  monitor_only: Collection[str] = (),
  applies: Mapping[str, np.ndarray] | None = None,
) -> Reward:
  """The reward Σ_k w_k · n_k(r_k), where every r_k with w_k ≠ 0 is valid.

  A sum that lacks a term is another quantity, not a smaller reward. So a sample
  with an invalid term is invalid as a whole, and enters no statistic of a
  normalizer. Rewards in `monitor_only`, and those of weight 0, are measured and
  not trained on: neither their numbers nor their validity reach the sum.

  A reward may not apply to some prompts, as one that compares with a reference
  answer does not where there is none. All samples of such a prompt get the sum
  of the other terms, and its measures are those of the rest.

  Args:
    rewards: name -> reward.
    weights: name -> w_k, for all names but those in `monitor_only`.
    normalizers: name -> n_k; a term without one is taken raw. The module
      `normalizers` says what they mean for β₀.
    monitor_only: names of rewards that are measured only.
    applies: name -> [number of all prompts] bool, for rewards that do not apply
      to all of them.

  Returns:
    A reward with the measures of the first reward under their own names, and
    for every name `name/reward`, not normalized, `name/valid` (0 or 1) and
    `name/measure`. It has the stages of `overlap`. `applies` is 1 where the
    first reward applies, if that is not everywhere.

  Raises:
    InputError: no rewards, other names, weights not finite or all 0.
  """
  own = dict(normalizers or {})
  _check(rewards, weights, own, monitor_only)
  partial = {name: jnp.asarray(mask) for name, mask in (applies or {}).items()}
  plain = not own and not partial and set(weights.values()) == {1.0}
  if len(rewards) == 1 and plain:
    return next(iter(rewards.values()))
  trained = {name: weight for name, weight in weights.items() if weight}

  @jax.jit
  def combine(parts: Mapping[str, Scores], ids: Array | None) -> Scores:
    where = {name: mask[ids][:, None] for name, mask in partial.items()}
    valid = jnp.stack(
      [_valid_or_not_asked(parts[name], where.get(name)) for name in trained]
    ).all(0)
    if set(trained) <= set(where):
      valid &= jnp.stack([where[name] for name in trained]).any(0)

    def term(name: str) -> Array:
      normalizer, here = own.get(name, raw()), where.get(name)
      if here is None:
        return normalizer(parts[name].rewards, valid)
      return jnp.where(here, normalizer(parts[name].rewards, valid & here), 0.0)

    total = sum(weight * term(name) for name, weight in trained.items())
    ordered = {name: parts[name] for name in rewards}
    return Scores(
      jnp.where(valid, total, 0.0), valid, _measures(ordered, where)
    )

  stages = {name: with_stages(reward) for name, reward in rewards.items()}

  def begin(
    prompts: PromptBatch, decoded: PyTree
  ) -> tuple[dict[str, Any], PromptBatch]:
    begun = {
      name: stage.begin(prompts, decoded) for name, stage in stages.items()
    }
    return begun, prompts

  def finish(parts: Sequence[tuple[Mapping[str, Any], PromptBatch]]) -> Scores:
    finished = {
      name: stage.finish([begun[name] for begun, _ in parts])
      for name, stage in stages.items()
    }
    ids = join([prompts.ids for _, prompts in parts]) if partial else None
    return combine(finished, ids)

  return Stages(begin, finish)


def measure_masks(scores: Scores) -> Metrics:
  """Name of a measure -> [P, G] bool, True where the measure has a value.

  That is where its own reward is valid, whether or not the sum is; and
  everywhere for `name/valid` itself and for `applies`.
  """
  applies = scores.measures.get('applies')
  valid = scores.valid if applies is None else scores.valid & (applies > 0)
  masks = {}
  for measure, values in scores.measures.items():
    name, _, last = measure.rpartition('/')
    own = scores.measures.get(f'{name}/valid', valid)
    everywhere = (name and last == 'valid') or measure == 'applies'
    masks[measure] = values >= 0 if everywhere else own > 0
  return masks


def _valid_or_not_asked(part: Scores, where: Array | None) -> Array:
  return part.valid if where is None else part.valid | ~where


def _measures(
  parts: Mapping[str, Scores], where: Mapping[str, Array]
) -> Metrics:
  first = next(iter(parts))
  measures = dict(parts[first].measures)
  if first in where:
    rewards = parts[first].rewards
    measures['applies'] = jnp.ones_like(rewards) * where[first]
  for name, part in parts.items():
    valid = part.valid & where[name] if name in where else part.valid
    measures[f'{name}/reward'] = part.rewards
    measures[f'{name}/valid'] = valid.astype(part.rewards.dtype)
    measures |= {f'{name}/{k}': v for k, v in part.measures.items()}
  return measures


def _check(
  rewards: Collection[str],
  weights: Mapping[str, float],
  normalizers: Collection[str],
  monitor_only: Collection[str],
) -> None:
  if not rewards or sorted(rewards) != sorted([*weights, *monitor_only]):
    raise InputError(
      'Expected at least one reward, and one weight for each that is not in '
      f'monitor_only; got rewards {sorted(rewards)}, weights of '
      f'{sorted(weights)} and monitor_only {sorted(monitor_only)}.'
    )
  if not np.isfinite(list(weights.values())).all() or not any(weights.values()):
    raise InputError(
      f'Expected finite reward weights, not all 0, got {dict(weights)}.'
    )
  if not set(normalizers) <= set(weights):
    raise InputError(
      f'Expected normalizers of rewards with a weight, {sorted(weights)}, got '
      f'{sorted(normalizers)}.'
    )
