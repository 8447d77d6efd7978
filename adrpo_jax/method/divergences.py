"""Divergences between the trained policy and an anchor, one number per entry.

Each takes the outputs of a modality and those of the anchor policy for the same
samples, and returns [P, G, S] or [P, G, N]. Policy losses and divergences share
the normalization of `mean_square`: the adaptive loss is convex only if both
terms are averaged in the same way.
"""

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array, Renoised, Trajectory, append_axes


def mean_square(a: Array, b: Array) -> Array:
  """Returns ⟨(a − b)²⟩ in float32. [P, G, S, *D] -> [P, G, S]"""
  difference = a.astype(jnp.float32) - b.astype(jnp.float32)
  return latent_mean(jnp.square(difference))


def latent_mean(values: Array) -> Array:
  """Returns ⟨·⟩, the mean over latent axes. [P, G, S, *D] -> [P, G, S]"""
  return jnp.mean(values, axis=tuple(range(3, values.ndim)))


def velocity_w2(outputs: Renoised, anchor: Array) -> Array:
  """Returns ⟨(v − v_anchor)²⟩, the W2 surrogate of ORW-CFM-W2 and ADRPO.

  A Lipschitz factor times its mean over σ and the policy's samples bounds W₂².
  This function has no factor and no root. `anchor` is [P, G, S, *D].
  Fan et al., 2025, arXiv:2502.06061.
  """
  return mean_square(outputs.velocity, anchor)


def transition_kl(outputs: Trajectory, anchor: Array) -> Array:
  """Returns ⟨(μ − μ_anchor)²⟩ / (2 std²), the KL of a step per latent element.

  std² = s²·(−dt) is the variance that a step adds. Flow-GRPO's code omits −dt
  (Liu et al., 2025, arXiv:2505.05470): its coefficient of 0.04 at 10 steps is
  0.004 here. `anchor` is μ_anchor [P, G, N, *D].
  """
  return mean_square(outputs.mean, anchor) / (2 * jnp.square(outputs.std))


def implicit_pair_mean(
  outputs: Renoised, anchor: Array, *, beta: float
) -> Array:
  """Returns ½(L⁺ + L⁻), the part of DiffusionNFT's loss without an advantage.

  L± are those of `implicit_pair`. The other part is
  `policy_losses.implicit_pair_difference`.
  """
  positive, negative = implicit_pair(outputs, anchor, beta=beta)
  return (positive + negative) / 2


def implicit_pair(
  outputs: Renoised, anchor: Array, *, beta: float
) -> tuple[Array, Array]:
  """Returns DiffusionNFT's self-normalized losses (L⁺, L⁻), each [P, G, S].

  v⁺ = v_anchor + β(v − v_anchor),  v⁻ = v_anchor − β(v − v_anchor)
  L± = ⟨(x̂₀± − x₀)²⟩ / (β w±),      w± = sg max(⟨|x̂₀± − x₀|⟩, 1e-5)

  with x̂₀± − x₀ = σ(u − v±). Zheng et al., 2025, arXiv:2509.16117.
  """
  step = beta * (outputs.velocity - anchor).astype(jnp.float32)
  sigma = append_axes(outputs.sigma, step)
  positive = sigma * (outputs.target - anchor - step)
  negative = sigma * (outputs.target - anchor + step)
  return _self_normalized(positive) / beta, _self_normalized(negative) / beta


def _self_normalized(error: Array) -> Array:
  size = jnp.maximum(latent_mean(jnp.abs(error)), 1e-5)
  return latent_mean(jnp.square(error)) / jax.lax.stop_gradient(size)
