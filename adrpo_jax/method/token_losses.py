"""Policy losses on generated tokens: clipped surrogates, and DPO.

Each takes (outputs, weights) and returns [P, G, T], to be multiplied by
weights.policy. The ratio of a surrogate compares the policy with that of the
rollout: for one token, or for a whole completion.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array, Tokens, Weights

TokenLoss = Callable[[Tokens, Weights], Array]
Ratio = Callable[[Tokens], Array]


def token_ratio(outputs: Tokens) -> Array:
  """Returns ρ_t = π(o_t)/π_old(o_t), as in PPO and GRPO. [P, G, T]

  Shao et al., 2024, arXiv:2402.03300.
  """
  return jnp.exp(_log_ratio(outputs))


def sequence_ratio(outputs: Tokens) -> Array:
  """Returns the geometric mean of ρ_t over a completion, as in GSPO. [P, G, 1]

  Zheng et al., 2025, arXiv:2507.18071.
  """
  total = _log_ratio(outputs).sum(2, keepdims=True)
  return jnp.exp(total / _lengths(outputs))


def product_ratio(outputs: Tokens) -> Array:
  """Returns Π_t ρ_t, the ratio of whole completions, as in RLOO. [P, G, 1]

  Ahmadian et al., 2024, arXiv:2402.14740.
  """
  return jnp.exp(_log_ratio(outputs).sum(2, keepdims=True))


def clipped(
  ratio: Ratio = token_ratio,
  low: float = 0.2,
  high: float = 0.2,
  *,
  dual: float | None = None,
) -> TokenLoss:
  """Returns the clipped surrogate A·ℓ = −min(ρA, clip(ρ, 1 − low, 1 + high)·A).

  `dual` bounds the loss of a bad sample (A < 0): A·ℓ ≤ −c·A, for c > 1.
  Two clips: Yu et al., 2025, arXiv:2503.14476; dual: Ye et al., 2020,
  arXiv:1912.09729.

  Raises:
    ValueError: a bound is not positive, or `dual` is not above 1.
  """
  if not 0 < low < 1 or not high > 0 or (dual is not None and not dual > 1):
    raise ValueError(
      'Expected 0 < low < 1, high > 0 and dual > 1 if given, got '
      f'low={low}, high={high} and dual={dual}.'
    )

  def loss(outputs: Tokens, weights: Weights) -> Array:
    rho = ratio(outputs)
    bounded = jnp.clip(rho, 1 - low, 1 + high)
    bad = jnp.maximum(rho, bounded)
    if dual is not None:
      bad = jnp.minimum(bad, dual)
    good = weights.policy[:, :, None] >= 0
    surrogate = -jnp.where(good, jnp.minimum(rho, bounded), bad)
    return jnp.broadcast_to(surrogate, outputs.log_prob.shape)

  return loss


def likelihood(outputs: Tokens, weights: Weights) -> Array:
  """Returns −log π, the loss of supervised training and of RAFT. [P, G, T]"""
  del weights
  return -jnp.where(outputs.mask > 0, outputs.log_prob, 0.0)


def dpo_pairs(beta: float) -> TokenLoss:
  """Returns the loss of DPO, for one winner and one loser per prompt. [P, G, T]

  L = −log sigmoid(β[(l_w − l_w^ref) − (l_l − l_l^ref)]),  l = Σ_t log π(o_t)

  The winner has a positive policy weight, the loser a negative one; a tie,
  (0, 0), gives 0. L is the same for every token of a completion, so that the
  mean over tokens is the mean of L. Rafailov et al.,
  2023, arXiv:2305.18290.
  """

  def loss(outputs: Tokens, weights: Weights) -> Array:
    sign = jnp.sign(weights.policy)
    x = outputs.log_prob - outputs.anchors['reference'].log_prob
    answers = jnp.where(outputs.mask > 0, x, 0.0).sum(2)
    gap = (sign * answers).sum(1, keepdims=True)
    entry = -sign * jax.nn.log_sigmoid(beta * gap)
    return jnp.broadcast_to(entry[:, :, None], outputs.log_prob.shape)

  return loss


def _log_ratio(outputs: Tokens) -> Array:
  """Returns log ρ_t, 0 where masked. [P, G, T]"""
  x = outputs.log_prob - outputs.log_prob_old
  return jnp.where(outputs.mask > 0, x, 0.0)


def _lengths(outputs: Tokens) -> Array:
  return jnp.maximum(outputs.mask.sum(2, keepdims=True), 1)
