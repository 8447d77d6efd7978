"""The weighted sum of several rewards, some of which are only measured."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.normalizers import Normalizer, raw
from adrpo_jax.rewards.overlap import Stages, with_stages
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.types import Metrics, PromptBatch, PyTree, Scores


def weighted_sum(
  rewards: Mapping[str, Reward],
  weights: Mapping[str, float],
  *,
  normalizers: Mapping[str, Normalizer] | None = None,
  monitor_only: Collection[str] = (),
) -> Reward:
  """The reward Σ_k w_k · n_k(r_k), where every r_k with w_k ≠ 0 is valid.

  A sum that lacks a term is another quantity, not a smaller reward. So a sample
  with an invalid term is invalid as a whole, and enters no statistic of a
  normalizer. Rewards in `monitor_only`, and those of weight 0, are measured and
  not trained on: neither their numbers nor their validity reach the sum.

  Args:
    rewards: name -> reward.
    weights: name -> w_k, for all names but those in `monitor_only`.
    normalizers: name -> n_k; a term without one is taken raw. The module
      `normalizers` says what they mean for β₀.
    monitor_only: names of rewards that are measured only.

  Returns:
    A reward with the measures of the first reward under their own names, and
    for every name `name/reward`, not normalized, `name/valid` (0 or 1) and
    `name/measure`. It has the stages of `overlap`.

  Raises:
    InputError: no rewards, other names, weights not finite or all 0.
  """
  own = dict(normalizers or {})
  _check(rewards, weights, own, monitor_only)
  if len(rewards) == 1 and not own and set(weights.values()) == {1.0}:
    return next(iter(rewards.values()))
  trained = {name: weight for name, weight in weights.items() if weight}

  @jax.jit
  def combine(parts: Mapping[str, Scores]) -> Scores:
    valid = jnp.stack([parts[name].valid for name in trained]).all(0)
    total = sum(
      weight * own.get(name, raw())(parts[name].rewards, valid)
      for name, weight in trained.items()
    )
    return Scores(
      jnp.where(valid, total, 0.0),
      valid,
      _measures({name: parts[name] for name in rewards}),
    )

  stages = {name: with_stages(reward) for name, reward in rewards.items()}

  def begin(prompts: PromptBatch, decoded: PyTree) -> dict[str, Any]:
    return {
      name: stage.begin(prompts, decoded) for name, stage in stages.items()
    }

  def finish(parts: Sequence[Mapping[str, Any]]) -> Scores:
    return combine(
      {
        name: stage.finish([part[name] for part in parts])
        for name, stage in stages.items()
      }
    )

  return Stages(begin, finish)


def measure_masks(scores: Scores) -> Metrics:
  """Name of a measure -> [P, G] bool, True where the measure has a value.

  That is where its own reward is valid, whether or not the sum is; and
  everywhere for `name/valid` itself.
  """
  masks = {}
  for measure, values in scores.measures.items():
    name, _, last = measure.rpartition('/')
    own = scores.measures.get(f'{name}/valid', scores.valid)
    masks[measure] = values >= 0 if name and last == 'valid' else own > 0
  return masks


def _measures(parts: Mapping[str, Scores]) -> Metrics:
  measures = dict(next(iter(parts.values())).measures)
  for name, part in parts.items():
    measures[f'{name}/reward'] = part.rewards
    measures[f'{name}/valid'] = part.valid.astype(part.rewards.dtype)
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
