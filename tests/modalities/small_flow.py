"""A small flow model for tests, and what a loss on its samples takes."""

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.modalities import flow
from adrpo_jax.modalities.flow_settings import FlowSettings
from adrpo_jax.sampling import noise_levels, solvers
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.types import PromptBatch, Weights

P, G, S = 3, 4, 2
LATENT, TEXT, HIDDEN = (2, 3), 4, 16


def parameters(seed=0, scale=0.5):
  keys = jax.random.split(jax.random.key(seed), 3)
  inputs = 6 + 1 + TEXT
  return {
    'in': scale * jax.random.normal(keys[0], (inputs, HIDDEN)),
    'bias': scale * jax.random.normal(keys[1], (HIDDEN,)),
    'out': scale * jax.random.normal(keys[2], (HIDDEN, 6)),
  }


def velocity(params, x, sigma, condition):
  rows = [x.reshape(len(x), -1), sigma[:, None], condition['text']]
  hidden = jnp.concatenate(rows, axis=1) @ params['in']
  hidden = jnp.tanh(hidden + params['bias'][None])
  return (hidden @ params['out']).reshape(x.shape)


class CountedVelocity:
  """`velocity`, writing down how many rows each call had."""

  def __init__(self):
    self.rows = []

  def __call__(self, params, x, sigma, condition):
    self.rows.append(len(x))
    return velocity(params, x, sigma, condition)


def decode(autoencoder, latents):
  """[B, 2, 3] -> [B, 2, 1, 3]: latents as pixels, scaled."""
  return autoencoder * latents[:, :, None, :]


def make_prompts(count, seed=5):
  text = jax.random.normal(jax.random.key(seed), (count, TEXT))
  return PromptBatch.of_step(jnp.arange(count), {'text': text})


def make_frozen():
  null = {'text': jnp.full((TEXT,), 0.3)}
  autoencoder = jnp.float32(2.0)
  return {
    'reference': parameters(1),
    'autoencoder': autoencoder,
    'null_condition': null,
  }


def make(method, *, model=velocity, groups=4, **options):
  options = {'sigmas': noise_levels.shifted_sigmas(4, 3.0)} | options
  settings = FlowSettings(
    velocity=model,
    decode=decode,
    latent_shape=LATENT,
    samples_per_prompt=groups,
    **options,
  )
  return flow.make_modality(method, settings)


ANCHORS = {
  'reference': parameters(1),
  'old': parameters(2),
  'ema': parameters(3),
}


def options_of(method):
  if 'trajectory' in method.needs:
    return {'transition': solvers.flow_sde(0.7)}
  return {'draws': S}


def weights_of(prompts=P, groups=G):
  key = jax.random.key(9)
  policy = jax.random.normal(key, (prompts, groups))
  if groups == 2:
    policy = jnp.stack([jnp.ones(prompts), -jnp.ones(prompts)], axis=1)
  return Weights(policy, jnp.full((prompts, groups), 0.5))


def samples_of(modality, method, params, prompts=P, groups=G):
  """A rollout where the loss needs one, else made-up latents."""
  if 'trajectory' not in method.needs:
    shape = (prompts, groups, *LATENT)
    return {'x0': jax.random.normal(jax.random.key(6), shape)}
  texts, frozen = make_prompts(prompts), make_frozen()
  return jax.jit(modality.rollout)(params, frozen, texts, jax.random.key(7))


def run(method, params, *, prompts=P, groups=G, **options):
  """The arguments of loss_terms, and what it makes of them."""
  options = options_of(method) | options
  modality = make(method, groups=groups, **options)
  samples = samples_of(modality, method, params, prompts, groups)
  inputs = (
    *(params, make_frozen(), ANCHORS, samples),
    *(make_prompts(prompts), weights_of(prompts, groups)),
    sample_keys(jax.random.key(8), prompts, groups),
  )
  return inputs, jax.jit(modality.loss_terms)(*inputs)


def close(a, b, tolerance=1e-6):
  def check(x, y):
    scale = max(1.0, float(jnp.abs(y).max()))
    np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * scale)

  jax.tree.map(check, a, b)


def made_up_inputs(anchors=ANCHORS):
  """Arguments of loss_terms of a renoised method."""
  x0 = jnp.ones((P, G, *LATENT))
  return (
    *(parameters(0), make_frozen(), anchors, {'x0': x0}),
    *(make_prompts(P), weights_of()),
    sample_keys(jax.random.key(8), P, G),
  )
