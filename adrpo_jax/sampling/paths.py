"""The straight path between data and noise.

x_σ = (1−σ)·x₀ + σ·ε, σ = 1 is noise, the velocity is u = dx/dσ = ε − x₀; the
convention of diffusers' SD3. A σ has the leading axes of its latents.
"""

from adrpo_jax.types import Array


def over_latents(values: Array, latents: Array) -> Array:
  """Appends the axes that `values` lacks: [*] -> [*, 1, ...] as `latents`."""
  missing = latents.ndim - values.ndim
  return values.reshape(values.shape + (1,) * missing)


def latent_mean(latents: Array, leading: int) -> Array:
  """⟨·⟩, the mean over all but the first `leading` axes."""
  return latents.mean(axis=tuple(range(leading, latents.ndim)))


def interpolate(x0: Array, noise: Array, sigma: Array) -> Array:
  """x_σ = (1−σ)·x₀ + σ·ε.

  x0, noise [*, *D], sigma [*] -> [*, *D].
  """
  sigma = over_latents(sigma, noise)
  return (1 - sigma) * x0 + sigma * noise


def velocity_target(x0: Array, noise: Array) -> Array:
  """u = ε − x₀, what a velocity model regresses to."""
  return noise - x0


def clean_estimate(x: Array, velocity: Array, sigma: Array) -> Array:
  """x̂₀ = x − σ·v.

  x, velocity [*, *D], sigma [*] -> [*, *D].
  """
  return x - over_latents(sigma, x) * velocity


def noise_estimate(x: Array, velocity: Array, sigma: Array) -> Array:
  """ε̂ = x + (1−σ)·v.

  x, velocity [*, *D], sigma [*] -> [*, *D].
  """
  return x + (1 - over_latents(sigma, x)) * velocity
