"""The losses of the stages that make a base of shapes.

A noise level σ is the quantile `levels` of a uniform draw; x_σ is on the
straight path from the latents x₀ to the noise ε, whose velocity is ε − x₀.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adrpo_jax.models.sd3.autoencoder import Autoencoder
from adrpo_jax.sampling import paths
from adrpo_jax.sampling.noise_levels import Quantile
from adrpo_jax.types import Array, PyTree


def autoencoder_loss(
  model: Autoencoder, params: PyTree, images: Array, key: Array, kl: float
) -> Array:
  """Mean squared error of the reconstruction + kl · KL(q(z|x) ‖ N(0, I))."""
  decoded, mean, logvar = model.apply(params, images, key)
  divergence = 0.5 * (mean**2 + jnp.exp(logvar) - 1 - logvar)
  return jnp.mean((decoded - images) ** 2) + kl * divergence.mean()


def decoder_loss(
  model: Autoencoder, encoder: PyTree, params: PyTree, images: Array, key: Array
) -> Array:
  """Mean squared error of the decoded latents, with an encoder that stays."""
  del key
  whole = {'params': {'encoder': encoder, 'decoder': params}}
  latents = model.apply(whole, images, method='encode')
  decoded = model.apply(whole, latents, method='decode')
  return jnp.mean((decoded - images) ** 2)


def flow_loss(
  velocity: Callable[..., Array],
  levels: Quantile,
  batch: tuple[Array, Array],
  key: Array,
) -> Array:
  """The flow-matching loss of a batch (latents, captions)."""
  x_sigma, sigma, target, tokens = _flow_inputs(*batch, levels, key)
  return jnp.mean((velocity(x_sigma, sigma, tokens) - target) ** 2)


def guidance_loss(
  velocity: Callable[..., Array],
  guided_velocity: Callable[..., Array],
  levels: Quantile,
  batch: tuple[Array, Array],
  key: Array,
) -> Array:
  """The distillation loss ‖v_θ(x_σ, σ, c) − v_w(x_σ, σ, c)‖².

  v_w is the teacher with classifier-free guidance w. For an empty prompt, v_w
  is the velocity of the teacher itself. Source: Meng et al., arXiv 2210.03142,
  §3.1.
  """
  x_sigma, sigma, _, tokens = _flow_inputs(*batch, levels, key)
  target = jax.lax.stop_gradient(guided_velocity(x_sigma, sigma, tokens))
  return jnp.mean((velocity(x_sigma, sigma, tokens) - target) ** 2)


def _flow_inputs(
  latents: Array, tokens: Array, levels: Quantile, key: Array
) -> tuple[Array, ...]:
  """Returns (x_σ, σ, ε − x₀, captions), one in ten captions left out."""
  noise_key, sigma_key, drop_key = jax.random.split(key, 3)
  sigma = levels(jax.random.uniform(sigma_key, latents.shape[:1]))
  noise = jax.random.normal(noise_key, latents.shape)
  dropped = jax.random.bernoulli(drop_key, 0.1, (latents.shape[0], 1))
  x_sigma = paths.interpolate(latents, noise, sigma)
  target = paths.velocity_target(latents, noise)
  return x_sigma, sigma, target, jnp.where(dropped, 0, tokens)
