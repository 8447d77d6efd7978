"""Policy losses per entry, to be multiplied by the advantage.

Each takes (outputs, weights) and returns [P, G, S] (or [P, G, N]), to be
multiplied by weights.policy. A clipped loss depends on the sign of the weight,
DPO on the signs of both samples of a pair, the others not on the weights.
Nothing here is reduced over samples, and anchors are constants.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adrpo_jax.method.divergences import implicit_pair, latent_mean, mean_square
from adrpo_jax.types import Array, Renoised, Trajectory, Weights, append_axes

PolicyLoss = Callable[[Renoised, Weights], Array]
TrajectoryLoss = Callable[[Trajectory, Weights], Array]


def velocity_matching(outputs: Renoised, weights: Weights) -> Array:
  """Returns ⟨(v − u)²⟩, flow matching on the policy's samples. [P, G, S]

  Lipman et al., 2022, arXiv:2210.02747.
  """
  del weights
  return mean_square(outputs.velocity, outputs.target)


def residual_matching(residual: str = 'old') -> PolicyLoss:
  """Returns flow matching linearized at v_resid, the policy loss of RAM.

  ℓ = ⟨(v_resid − u)²⟩ + 2⟨(v_resid − u)·(v − v_resid)⟩
  ∇ℓ = −2(u − v_resid)·∇v, so that with weights (A, β)
  ∇(Aℓ + β⟨(v − v_ref)²⟩) = ∇ β⟨(v − sg[v_ref + (A/β)(u − v_resid)])²⟩.

  `residual` names an anchor, where 'old' is the policy of the rollout, or is
  'current' for sg(v): then ℓ has the value and gradient of flow matching.
  Reinforce Adjoint Matching, 2026, arXiv:2605.10759.
  """

  def loss(outputs: Renoised, weights: Weights) -> Array:
    del weights
    center = _velocity(outputs, residual)
    error = _f32(center) - _f32(outputs.target)
    step = _f32(outputs.velocity) - _f32(center)
    return latent_mean(jnp.square(error) + 2 * error * step)

  return loss


def clipped_elbo(clip: float = 1.0) -> PolicyLoss:
  """Returns the clipped surrogate on log p = −⟨(v − u)²⟩, as in AWM. [P, G, S]

  ρ = exp(⟨(v_old − u)²⟩ − ⟨(v − u)²⟩),   A·ℓ = max(−Aρ, −A·clip(ρ, 1 ± ε))

  At ρ = 1 its gradient is that of flow matching. v_old is the policy of the
  rollout. Xue et al., 2025, arXiv:2509.25050.
  """

  def loss(outputs: Renoised, weights: Weights) -> Array:
    old = mean_square(outputs.anchors['old'], outputs.target)
    ratio = jnp.exp(old - mean_square(outputs.velocity, outputs.target))
    return _clipped_surrogate(ratio, clip, weights)

  return loss


def clipped_log_ratio(clip: float = 1e-4) -> TrajectoryLoss:
  """Returns the clipped surrogate on solver steps, as in Flow-GRPO. [P, G, N]

  ρ = exp(log p − log p_old),   A·ℓ = max(−Aρ, −A·clip(ρ, 1 ± ε))

  Log-probabilities are means over latent elements, so ε is small. Liu et
  al., 2025, arXiv:2505.05470.
  """

  def loss(outputs: Trajectory, weights: Weights) -> Array:
    ratio = jnp.exp(outputs.log_prob - outputs.log_prob_old)
    return _clipped_surrogate(ratio, clip, weights)

  return loss


def dpo_pairs(beta: float) -> PolicyLoss:
  """Returns Diffusion-DPO on velocities, one winner and one loser per prompt.

  L = −log sigmoid(−½β[(e_w − e_w^ref) − (e_l − e_l^ref)]),  e = ⟨(v − u)²⟩

  The winner has a positive policy weight, the loser a negative one; both share
  ε and σ. The entry of a sample is sign(w)·L, so that with weights ±1 the mean
  over entries is the mean of L; a tie, (0, 0), gives 0. Wallace et al., 2023,
  arXiv:2311.12908.
  """

  def loss(outputs: Renoised, weights: Weights) -> Array:
    sign = jnp.sign(weights.policy)[:, :, None]
    error = mean_square(outputs.velocity, outputs.target)
    reference = mean_square(outputs.anchors['reference'], outputs.target)
    gap = jnp.sum(sign * (error - reference), axis=1, keepdims=True)
    return -sign * jax.nn.log_sigmoid(-0.5 * beta * gap)

  return loss


def implicit_pair_difference(beta: float) -> PolicyLoss:
  """Returns ½(L⁺ − L⁻), the part of DiffusionNFT's loss that A′ multiplies.

  r·L⁺ + (1−r)·L⁻ = A′·½(L⁺ − L⁻) + ½(L⁺ + L⁻) with r = (1 + A′)/2, where L± are
  the self-normalized losses of `divergences.implicit_pair` and the second part
  is `divergences.implicit_pair_mean`. Zheng et al., 2025, arXiv:2509.16117.
  """

  def loss(outputs: Renoised, weights: Weights) -> Array:
    del weights
    positive, negative = implicit_pair(
      outputs, outputs.anchors['old'], beta=beta
    )
    return (positive - negative) / 2

  return loss


def regression_target(
  outputs: Renoised,
  advantages: Array,
  beta: float | Array,
  *,
  anchor: str = 'reference',
  residual: str | None = None,
) -> Array:
  """Returns sg[v_anchor + (A/β)(u − v_resid)] in float32. [P, G, S, *D]

  A is [P, G]. The pair (anchor, residual) is (reference, reference) for ADRPO,
  (reference, old) for RAM and (old, old) for DiffusionNFT. `residual` is the
  anchor unless given, and may be 'current'.
  """
  center = _f32(_velocity(outputs, anchor))
  error = _f32(outputs.target) - _f32(_velocity(outputs, residual or anchor))
  ratio = append_axes(advantages / beta, center)
  return jax.lax.stop_gradient(center + ratio * error)


def target_regression(
  outputs: Renoised,
  advantages: Array,
  beta: float | Array,
  *,
  anchor: str = 'reference',
  residual: str | None = None,
) -> Array:
  """Returns β⟨(v − target)²⟩, a whole flow loss as one regression. [P, G, S]

  With anchor = residual it equals A⟨(v − u)²⟩ + (β − A)⟨(v − v_anchor)²⟩ minus
  A(1 − A/β)⟨(u − v_anchor)²⟩. The last term does not depend on v, so that the
  loss is convex in v for every A.
  """
  target = regression_target(
    outputs, advantages, beta, anchor=anchor, residual=residual
  )
  return beta * mean_square(outputs.velocity, target)


def _clipped_surrogate(ratio: Array, clip: float, weights: Weights) -> Array:
  clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
  good = weights.policy[:, :, None] >= 0
  return -jnp.where(
    good, jnp.minimum(ratio, clipped), jnp.maximum(ratio, clipped)
  )


def _velocity(outputs: Renoised, name: str) -> Array:
  if name == 'current':
    return jax.lax.stop_gradient(outputs.velocity)
  return outputs.anchors[name]


def _f32(values: Array) -> Array:
  return values.astype(jnp.float32)
