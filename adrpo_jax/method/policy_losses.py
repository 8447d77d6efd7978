"""Policy losses per entry: what an advantage weighs.

Each takes (outputs, weights) and returns [P, G, S] (or [P, G, N]), to be
multiplied by weights.policy. A clipped loss looks at the sign of the weight,
DPO at which sample of a pair has which sign, all others at neither. Nothing
here is reduced over samples, and anchors are constants.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adrpo_jax.method.divergences import implicit_pair, latent_mean, mean_square
from adrpo_jax.types import Array, Renoised, Trajectory, Weights, append_axes

PolicyLoss = Callable[[Renoised, Weights], Array]
TrajectoryLoss = Callable[[Trajectory, Weights], Array]


def velocity_matching(outputs: Renoised, weights: Weights) -> Array:
  """⟨(v − u)²⟩, flow matching on the policy's own samples. -> [P, G, S]

  Lipman et al., 2022, arXiv:2210.02747.
  """
  del weights
  return mean_square(outputs.velocity, outputs.target)


def residual_matching(residual: str = 'old') -> PolicyLoss:
  """Flow matching made linear at v_resid, the policy loss of RAM.

  ℓ = ⟨(v_resid − u)²⟩ + 2⟨(v_resid − u)·(v − v_resid)⟩
  ∇ℓ = −2(u − v_resid)·∇v, so that with weights (A, β)
  ∇(Aℓ + β⟨(v − v_ref)²⟩) = ∇ β⟨(v − sg[v_ref + (A/β)(u − v_resid)])²⟩.

  `residual` names an anchor, 'old' being the policy of the rollout, or is
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
  """The clipped surrogate on log p = −⟨(v − u)²⟩, the policy loss of AWM.

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
  """The clipped surrogate on solver transitions, of Flow-GRPO. -> [P, G, N]

  ρ = exp(log p − log p_old),   A·ℓ = max(−Aρ, −A·clip(ρ, 1 ± ε))

  Log-probabilities are means over latent elements, hence the small ε. Liu et
  al., 2025, arXiv:2505.05470.
  """

  def loss(outputs: Trajectory, weights: Weights) -> Array:
    ratio = jnp.exp(outputs.log_prob - outputs.log_prob_old)
    return _clipped_surrogate(ratio, clip, weights)

  return loss


def dpo_pairs(beta: float) -> PolicyLoss:
  """Diffusion-DPO on velocities, for one winner and one loser to a prompt.

  L = −log sigmoid(−½β[(e_w − e_w^ref) − (e_l − e_l^ref)]),  e = ⟨(v − u)²⟩

  The winner is the sample with a positive policy weight, the loser that with
  a negative one; both share ε and σ. The entry of a sample is sign(w)·L, so
  with weights ±1 the mean over entries is the mean of L; a tie, (0, 0), gives
  nothing. Wallace et al., 2023, arXiv:2311.12908.
  """

  def loss(outputs: Renoised, weights: Weights) -> Array:
    sign = jnp.sign(weights.policy)[:, :, None]
    error = mean_square(outputs.velocity, outputs.target)
    reference = mean_square(outputs.anchors['reference'], outputs.target)
    gap = jnp.sum(sign * (error - reference), axis=1, keepdims=True)
    return -sign * jax.nn.log_sigmoid(-0.5 * beta * gap)

  return loss


def implicit_pair_difference(beta: float) -> PolicyLoss:
  """½(L⁺ − L⁻): the part of DiffusionNFT's loss that A′ weighs.

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
  """sg[v_anchor + (A/β)(u − v_resid)] in float32. [P, G] -> [P, G, S, *D]

  One target for the family: (reference, reference) is ADRPO, (reference, old)
  RAM, (old, old) DiffusionNFT. `residual` is the anchor unless given, and may
  be 'current'.
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
  """β⟨(v − target)²⟩, a whole flow loss as one regression. -> [P, G, S]

  With anchor = residual it is A⟨(v − u)²⟩ + (β − A)⟨(v − v_anchor)²⟩ less
  A(1 − A/β)⟨(u − v_anchor)²⟩, which does not depend on v: convex for every A.
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
