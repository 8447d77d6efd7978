"""The straight path between data and noise.

x_σ = (1−σ)·x₀ + σ·ε, where σ = 1 is noise, and the velocity is
u = dx/dσ = ε − x₀. This is the convention of SD3 in diffusers. A σ has the
leading axes of its latents.
"""

from adrpo_jax.types import Array, append_axes


def latent_mean(latents: Array, leading: int) -> Array:
  """Returns ⟨·⟩, the mean over all axes after the first `leading` ones."""
  return latents.mean(axis=tuple(range(leading, latents.ndim)))


def interpolate(x0: Array, noise: Array, sigma: Array) -> Array:
  """Returns x_σ = (1−σ)·x₀ + σ·ε.

  x0, noise [*, *D], sigma [*] -> [*, *D].
  """
  sigma = append_axes(sigma, noise)
  return (1 - sigma) * x0 + sigma * noise


def velocity_target(x0: Array, noise: Array) -> Array:
  """Returns u = ε − x₀, the regression target of a velocity model."""
  return noise - x0


def clean_estimate(x: Array, velocity: Array, sigma: Array) -> Array:
  """Returns the estimate of the data, x̂₀ = x − σ·v.

  x, velocity [*, *D], sigma [*] -> [*, *D].
  """
  return x - append_axes(sigma, x) * velocity


def noise_estimate(x: Array, velocity: Array, sigma: Array) -> Array:
  """Returns the estimate of the noise, ε̂ = x + (1−σ)·v.

  x, velocity [*, *D], sigma [*] -> [*, *D].
  """
  return x + (1 - append_axes(sigma, x)) * velocity
