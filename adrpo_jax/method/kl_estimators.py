"""Estimators of KL(π‖π_anchor) at sampled tokens, one number a token.

Each takes (outputs, anchor) and returns [P, G, T]; masked tokens give 0, in
value and gradient, whatever they hold. With x = log π − log π_anchor at the
token that was sampled, clamped to ±LIMIT before any exponential. What an
estimator is worth as a loss is its gradient g(x) with respect to log π, not
its value:

  k2     x²/2           g = x             the reverse KL's, exactly
  k3     e⁻ˣ + x − 1    g = 1 − e⁻ˣ       explodes where π has left π_anchor
  ρ·k3   ρ(e⁻ˣ + x − 1) g = ρ·x           the reverse KL's off policy too
  full   Σ π log(π/π_anchor), of all tokens of the vocabulary

k1 = x has g = 1: its expected gradient is zero, and as a loss it holds nothing
back. Schulman, 2020, http://joschu.net/blog/kl-approx.html.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array, TokenAnchor, Tokens

Estimator = Callable[[Tokens, TokenAnchor], Array]

LIMIT = 20.0  # of |x|, nats


def k2(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """x²/2. -> [P, G, T]"""
  return jnp.square(log_ratio(outputs, anchor)) / 2


def k3(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """e⁻ˣ + x − 1: not negative, and unbiased on policy. -> [P, G, T]"""
  x = log_ratio(outputs, anchor)
  return jnp.exp(-x) + x - 1


def ratio_k3(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """ρ·k3 with ρ = π/π_old, and its gradient ρ·x. -> [P, G, T]

  The gradient is stated, not derived: where x is clamped, differentiating the
  product would leave ρ's share alone, of the size of e²⁰.
  """
  x = log_ratio(outputs, anchor)
  ratio = jnp.exp(_masked(outputs, outputs.log_prob - outputs.log_prob_old))
  value, slope = ratio * (jnp.exp(-x) + x - 1), ratio * x
  own = _masked(outputs, outputs.log_prob)
  constant = jax.lax.stop_gradient
  return constant(value) + constant(slope) * (own - constant(own))


def full(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """The divergence over the whole vocabulary, no estimate. -> [P, G, T]

  Raises:
    ValueError: the modality has not computed it; a method says 'full_kl' in
      its needs.
  """
  if anchor.kl is None:
    raise ValueError(
      "Expected the anchor's kl, the divergence over the vocabulary, got none. "
      "Put 'full_kl' into the needs of the method."
    )
  return _masked(outputs, anchor.kl)


def log_ratio(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """x, masked and clamped: safe to exponentiate. [P, G, T]"""
  x = _masked(outputs, outputs.log_prob - anchor.log_prob)
  return jnp.clip(x, -LIMIT, LIMIT)


def past_flip(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """Where π < π_anchor/2: x < −log 2. [P, G, T] bool

  There a negative coefficient pushes a good sample's token further down: it is
  paid for leaving the anchor in the wrong direction.
  """
  return log_ratio(outputs, anchor) < -jnp.log(2.0)


ESTIMATORS: dict[str, Estimator] = {
  'k2': k2,
  'k3': k3,
  'ratio_k3': ratio_k3,
  'full': full,
}


def _masked(outputs: Tokens, values: Array) -> Array:
  """Clean before an exponential: a masked inf would be NaN in a gradient."""
  return jnp.where(outputs.mask > 0, values, 0.0)
