"""Estimators of KL(π‖π_anchor) at sampled tokens, one number per token.

Each takes (outputs, anchor) and returns [P, G, T]. A masked token gives 0 in
value and gradient, even if its log-probabilities are not finite. Here
x = log π − log π_anchor at the sampled token, clamped to ±LIMIT before any
exponential. As a loss, an estimator acts through its gradient g(x) with respect
to log π, not through its value:

  k2     x²/2           g = x             the reverse KL's, exactly
  k3     e⁻ˣ + x − 1    g = 1 − e⁻ˣ       explodes where π has left π_anchor
  ρ·k3   ρ(e⁻ˣ + x − 1) g = ρ·x           the reverse KL's off policy too
  full   Σ π log(π/π_anchor), of all tokens of the vocabulary

k1 = x has g = 1. Its expected gradient is zero, so that as a loss it does not
keep the policy near the anchor. Schulman, 2020, http://joschu.net/blog/kl-approx.html.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array, TokenAnchor, Tokens

Estimator = Callable[[Tokens, TokenAnchor], Array]

LIMIT = 20.0  # of |x|, nats


def k2(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """Returns x²/2. [P, G, T]"""
  return jnp.square(log_ratio(outputs, anchor)) / 2


def k3(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """Returns e⁻ˣ + x − 1: not negative, and unbiased on policy. [P, G, T]"""
  x = log_ratio(outputs, anchor)
  return jnp.exp(-x) + x - 1


def ratio_k3(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """Returns ρ·k3 with ρ = π/π_old and the gradient ρ·x. [P, G, T]

  The gradient is set explicitly. Differentiation of the product would, where x
  is clamped, leave only the term of ρ, whose size is e²⁰.
  """
  x = log_ratio(outputs, anchor)
  ratio = jnp.exp(_masked(outputs, outputs.log_prob - outputs.log_prob_old))
  value, slope = ratio * (jnp.exp(-x) + x - 1), ratio * x
  own = _masked(outputs, outputs.log_prob)
  constant = jax.lax.stop_gradient
  return constant(value) + constant(slope) * (own - constant(own))


def full(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """Returns the exact divergence, over the whole vocabulary. [P, G, T]

  Raises:
    ValueError: the modality did not compute it, because the method does not
      have 'full_kl' in its needs.
  """
  if anchor.kl is None:
    raise ValueError(
      "Expected the anchor's kl, the divergence over the vocabulary, got none. "
      "Put 'full_kl' into the needs of the method."
    )
  return _masked(outputs, anchor.kl)


def log_ratio(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """Returns x, masked and clamped to ±LIMIT. [P, G, T]"""
  x = _masked(outputs, outputs.log_prob - anchor.log_prob)
  return jnp.clip(x, -LIMIT, LIMIT)


def past_flip(outputs: Tokens, anchor: TokenAnchor) -> Array:
  """Finds tokens with π < π_anchor/2, x < −log 2. [P, G, T] bool

  There a negative coefficient would lower the probability of a token of a good
  sample further, because a larger divergence lowers the loss.
  """
  return log_ratio(outputs, anchor) < -jnp.log(2.0)


# Estimator that does not hold a policy back -> why not.
REFUSED = {
  'k1': 'The expected gradient of log π − log π_ref is zero, and with an '
  "adaptive coefficient it doubles the advantage. Take 'ratio_k3', the reverse "
  'KL.'
}
ESTIMATORS: dict[str, Estimator] = {
  'k2': k2,
  'k3': k3,
  'ratio_k3': ratio_k3,
  'full': full,
}


def _masked(outputs: Tokens, values: Array) -> Array:
  """Sets masked values to 0 before an exponential can make NaN gradients."""
  return jnp.where(outputs.mask > 0, values, 0.0)
