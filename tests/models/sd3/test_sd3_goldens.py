"""Compares our random model with stored outputs of diffusers, without PyTorch.

`tests/goldens/make.py` made the numbers; the live comparison is in
`tests/parity/`.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models.compute import Compute
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.sd3 import folder as sd3_folder
from adrpo_jax.models.sd3 import text_conditions
from adrpo_jax.models.sd3.autoencoder import Autoencoder
from adrpo_jax.models.sd3.mmdit import MMDiT
from adrpo_jax.models.tiny import sd3 as sd3_tiny
from adrpo_jax.sampling import guidance, noise_levels, solvers

GOLDENS = pathlib.Path(__file__).parents[2] / 'goldens' / 'sd3_tiny.npz'
VARIANTS = {'sd3': sd3_tiny.TRANSFORMER, 'sd35': sd3_tiny.TRANSFORMER_35}
TEXTS = ('A red fox on 2 hills.', 'an owl', '')
SIZE = 8, 6


def identity(shapes):
  return shapes


@pytest.fixture(scope='module', params=VARIANTS)
def case(request, tmp_path_factory):
  """(folder, name -> golden numbers) of a variant."""
  folder = tmp_path_factory.mktemp(request.param)
  sd3_tiny.write(folder, VARIANTS[request.param])
  with np.load(GOLDENS) as stored:
    golden = {
      name.split('/')[1]: stored[name]
      for name in stored
      if name.startswith(f'{request.param}/')
    }
  return folder, golden


def close(ours, golden, tolerance=2e-5):
  assert ours.shape == golden.shape
  assert np.abs(ours - golden).max() < tolerance * np.abs(golden).max()


def conditions(folder):
  encoded = text_conditions.encode_prompts(
    folder,
    TEXTS,
    width=48,
    t5_length=20,
    compute=Compute(),
    with_shardings=identity,
    batch=3,
  )
  return [condition for _, condition in encoded]


def test_velocity(case):
  folder, golden = case
  model = sd3_folder.read(folder)
  params = sd3_folder.load_transformer(model, SIZE, jnp.float32, identity)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *SIZE, 16)).astype(np.float32)
  sigma = np.array([0.25, 0.9], np.float32)
  states = rng.normal(size=(2, 7, 48)).astype(np.float32)
  pooled = rng.normal(size=(2, 32)).astype(np.float32)
  apply = jax.jit(MMDiT(model.transformer).apply)
  v = apply(params, x, sigma, Condition(states, pooled))
  close(v, golden['velocity'])


def test_conditions(case):
  folder, golden = case
  encoded = conditions(folder)
  close(np.stack([c.states for c in encoded]), golden['condition_states'])
  close(np.stack([c.pooled for c in encoded]), golden['condition_pooled'])


def test_images(case):
  folder, golden = case
  model = sd3_folder.read(folder)
  params = sd3_folder.load_transformer(model, SIZE, jnp.float32, identity)
  decoder = sd3_folder.load_autoencoder(model, jnp.float32, identity)
  *encoded, null = conditions(folder)
  condition = jax.tree.map(lambda *rows: jnp.stack(rows), *encoded)
  velocity = guidance.guided(MMDiT(model.transformer).apply, 5.0, null)
  noise = np.random.default_rng(0).normal(size=(2, *SIZE, 16))

  @jax.jit
  def draw(params, decoder, noise):
    latents = solvers.solve(
      lambda x, sigma: velocity(params, x, sigma, condition),
      noise,
      noise_levels.sd3_sigmas(3, model.shift),
      solvers.euler(),
      jax.random.split(jax.random.key(0), 2),
    )
    autoencoder = Autoencoder(model.autoencoder)
    return autoencoder.apply(decoder, latents, method='decode')

  images = draw(params, decoder, noise.astype(np.float32))
  images = np.clip(images / 2 + 0.5, 0, 1)[:, ::4, ::4]
  assert np.abs(images - golden['pictures']).max() < 1e-3
