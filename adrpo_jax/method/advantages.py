"""Advantages: pure functions of the rewards of the samples of a prompt.

Each takes rewards [P, G] and valid [P, G] bool and returns [P, G] in float32.
An invalid sample gets 0 and is in no mean, so that its reward may be any value,
NaN included. Where all valid rewards of a group are equal the centered
functions return exactly 0. Standard deviations are those of the population
unless `ddof` says otherwise.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adrpo_jax.errors import unknown_name
from adrpo_jax.types import Array


def centered_by_group(rewards: Array, valid: Array) -> Array:
  """Returns A = r − mean over the valid samples of the prompt. [P, G] -> [P, G]

  The advantage of ADRPO's flow loss: no division by the spread. Fan et al.,
  2025, arXiv:2510.18053.

  Example:
    >>> rewards = jnp.array([[1.0, 0.5, 0.0], [2.0, 2.0, jnp.nan]])
    >>> centered_by_group(rewards, jnp.isfinite(rewards))
    Array([[ 0.5,  0. , -0.5],
           [ 0. ,  0. ,  0. ]], dtype=float32)
  """
  rewards = _clean(rewards, valid)
  centered = rewards - _group_mean(rewards, valid)
  informative = valid & ~equal_groups(rewards, valid)[:, None]
  return jnp.where(informative, centered, 0.0)


def standardized_by_group(
  rewards: Array, valid: Array, *, eps: float = 1e-4, ddof: int = 0
) -> Array:
  """Returns A = (r − mean) / (std + ε), both of the prompt. [P, G] -> [P, G]

  GRPO's advantage: Shao et al., 2024, arXiv:2402.03300. `ddof` is 0 in
  Flow-GRPO and 1 in TRL.
  """
  centered = centered_by_group(rewards, valid)
  freedom = jnp.maximum(_group_count(valid) - ddof, 1)
  variance = jnp.sum(centered**2, axis=1, keepdims=True) / freedom
  return centered / (jnp.sqrt(variance) + eps)


def standardized_by_batch(
  rewards: Array, valid: Array, *, eps: float = 1e-4
) -> Array:
  """Returns A = (r − mean of the prompt) / (std of the batch + ε). [P, G]

  The spread is that of all valid rewards, differences between prompts
  included: the `global_std` of Flow-GRPO, Liu et al., 2025, arXiv:2505.05470.
  """
  clean = _clean(rewards, valid)
  count = jnp.maximum(jnp.sum(valid), 1)
  mean = jnp.sum(clean) / count
  variance = jnp.sum(jnp.where(valid, (clean - mean) ** 2, 0.0)) / count
  return centered_by_group(rewards, valid) / (jnp.sqrt(variance) + eps)


def leave_one_out(rewards: Array, valid: Array) -> Array:
  """Returns A = r − mean of the prompt's other valid samples. [P, G]

  It equals n/(n−1) times the centered reward; 0 where a sample has no others.
  Ahmadian et al., 2024, arXiv:2402.14740.

  Example:
    >>> rewards = jnp.array([[1.0, 0.5, 0.0]])
    >>> leave_one_out(rewards, jnp.ones_like(rewards, bool))
    Array([[ 0.75,  0.  , -0.75]], dtype=float32)
  """
  count = _group_count(valid)
  return centered_by_group(rewards, valid) * count / jnp.maximum(count - 1, 1)


def best_of_group(rewards: Array, valid: Array) -> Array:
  """Returns 1 at the best valid sample of a prompt, else 0. [P, G] -> [P, G]

  Of equally good samples the first has the 1. RAFT: Dong et al., 2023,
  arXiv:2304.06767.
  """
  return _at(jnp.argmax(_floor(rewards, valid), axis=1), valid)


def best_against_worst(rewards: Array, valid: Array) -> Array:
  """Returns +1 at the best, −1 at the worst of a prompt, else 0. [P, G]

  All 0 where the valid rewards of a prompt are equal: a tie is no preference.
  Wallace et al., 2023, arXiv:2311.12908.
  """
  rewards = _clean(rewards, valid)
  best = _at(jnp.argmax(_floor(rewards, valid), axis=1), valid)
  worst = _at(jnp.argmax(_floor(-rewards, valid), axis=1), valid)
  tied = equal_groups(rewards, valid)[:, None]
  return jnp.where(tied, 0.0, best - worst)


def softmax_of_group(
  rewards: Array, valid: Array, *, temperature: float | Array
) -> Array:
  """Returns softmax(r / T) over the valid samples of a prompt. [P, G]

  It sums to 1 in every prompt with a valid sample. Reward-weighted regression:
  Peters & Schaal, 2007; for diffusion, Black et al., 2023, arXiv:2305.13301.
  """
  logits = _floor(rewards, valid) / temperature
  highest = jnp.max(logits, axis=1, keepdims=True)
  highest = jnp.where(jnp.isfinite(highest), highest, 0.0)
  weights = jnp.exp(logits - highest)
  total = jnp.sum(weights, axis=1, keepdims=True)
  return weights / jnp.where(total > 0, total, 1.0)


def equal_groups(rewards: Array, valid: Array) -> Array:
  """Finds the prompts without information: [P, G] -> [P] bool.

  True where a prompt has no valid sample, one, or only equal valid rewards.
  """
  highest = jnp.max(_floor(rewards, valid), axis=1)
  lowest = -jnp.max(_floor(-_clean(rewards, valid), valid), axis=1)
  return highest <= lowest


def keep_equal_groups(rewards: Array, valid: Array) -> Array:
  """Keeps equal groups in the loss. Returns `valid` [P, G] as it is.

  Their advantages are 0, so that ADRPO weighs their divergence by β₀.
  """
  del rewards
  return valid


def drop_equal_groups(rewards: Array, valid: Array) -> Array:
  """Drops equal groups from the loss and its denominator.

  Returns `valid` [P, G] with every sample of an equal group marked invalid.
  """
  return valid & ~equal_groups(rewards, valid)[:, None]


# What becomes of a group whose valid rewards are all equal.
ZERO_VARIANCE = {'keep': keep_equal_groups, 'drop': drop_equal_groups}


def usable_samples(zero_variance: str) -> Callable[[Array, Array], Array]:
  """Returns (rewards, valid) -> valid [P, G] by a name of ZERO_VARIANCE.

  Raises:
    ValueError: no such name; the nearest is named.
  """
  if zero_variance not in ZERO_VARIANCE:
    raise unknown_name(zero_variance, ZERO_VARIANCE, 'zero_variance')
  return ZERO_VARIANCE[zero_variance]


def _clean(rewards: Array, valid: Array) -> Array:
  return jnp.where(valid, rewards, 0.0).astype(jnp.float32)


def _floor(rewards: Array, valid: Array) -> Array:
  """−∞ in place of what is invalid, so that no maximum picks it."""
  return jnp.where(valid, rewards, -jnp.inf).astype(jnp.float32)


def _group_count(valid: Array) -> Array:
  return jnp.sum(valid, axis=1, keepdims=True)


def _group_mean(rewards: Array, valid: Array) -> Array:
  total = jnp.sum(rewards, axis=1, keepdims=True)
  return total / jnp.maximum(_group_count(valid), 1)


def _at(index: Array, valid: Array) -> Array:
  """One-hot rows [P] -> [P, G], 0 where the picked sample is invalid."""
  chosen = jax.nn.one_hot(index, valid.shape[1], dtype=jnp.float32)
  return jnp.where(valid, chosen, 0.0)
