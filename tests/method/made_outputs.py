"""Made-up outputs of a modality: random velocities, anchors, transitions."""

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import Array, Renoised, Trajectory

P, G, S, D = 3, 4, 2, (2, 3)


def renoised(
  velocity: Array | None = None,
  *,
  seed: int = 0,
  prompts: int = P,
  groups: int = G,
  anchors: dict[str, Array] | None = None,
) -> Renoised:
  """Random x₀, ε, σ, and velocities u + 0.3 × noise, all of order 1."""
  rng = np.random.default_rng(seed)
  shape = (prompts, groups, S, *D)

  def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)

  x0 = normal(prompts, groups, 1, *D)
  noise = normal(*shape)
  target = noise - x0
  sigma = rng.uniform(0.1, 1, size=shape[:3]).astype(np.float32)
  mixed = sigma[..., None, None]
  names = ('reference', 'old', 'ema')
  made = {name: jnp.asarray(target + 0.3 * normal(*shape)) for name in names}
  own = jnp.asarray(target + 0.3 * normal(*shape))
  return Renoised(
    x0=jnp.asarray(x0),
    sigma=jnp.asarray(sigma),
    x_sigma=jnp.asarray((1 - mixed) * x0 + mixed * noise),
    target=jnp.asarray(target),
    velocity=own if velocity is None else velocity,
    anchors=made | (anchors or {}),
  )


def trajectory(
  mean: Array | None = None,
  *,
  seed: int = 0,
  prompts: int = P,
  groups: int = G,
) -> Trajectory:
  """Transitions whose log-probabilities are those of their Gaussians."""
  rng = np.random.default_rng(seed)
  shape = (prompts, groups, S, *D)
  old, noise, drift = rng.normal(size=(3, *shape)).astype(np.float32)
  std = np.full(shape[:3], 0.4, np.float32)
  after = old + 0.4 * noise

  def log_prob(center):
    square = jnp.mean((after - center) ** 2, axis=(3, 4))
    return -square / (2 * std**2) - jnp.log(std)

  mean = jnp.asarray(old) if mean is None else mean
  return Trajectory(
    log_prob=log_prob(mean),
    log_prob_old=jax.lax.stop_gradient(log_prob(old)),
    mean=mean,
    std=jnp.asarray(std),
    anchors={'reference': jnp.asarray(old + 0.1 * drift)},
  )
