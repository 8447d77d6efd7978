"""diffusers loads our folders, and we load theirs."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')
transformers = pytest.importorskip('transformers')

from closeness import TOLERANCE, distance
import jax
import jax.numpy as jnp
import tiny_sd3

from adrpo_jax.models.compute import Compute
from adrpo_jax.models.sd3 import folder as sd3_folder
from adrpo_jax.models.sd3 import text_conditions
from adrpo_jax.models.sd3.autoencoder import Autoencoder
from adrpo_jax.models.sd3.mmdit import MMDiT
from adrpo_jax.models.tiny import sd3 as sd3_tiny
from adrpo_jax.sampling import guidance, noise_levels, solvers

pytestmark = pytest.mark.parity

TEXTS = ['A red fox on 2 hills.', 'an owl', '']


def identity(shapes):
  return shapes


def encoded(folder, texts, width=48, t5_length=20):
  pairs = text_conditions.encode_prompts(
    folder,
    texts,
    width=width,
    t5_length=t5_length,
    compute=Compute(),
    with_shardings=identity,
    batch=2,
  )
  read, conditions = zip(*pairs, strict=True)
  assert list(read) == texts
  return conditions


@pytest.mark.parametrize('t5', [True, False])
def test_conditions_of_words(t5, tmp_path):
  folder = sd3_tiny.write(tmp_path, t5=t5)
  left_out = {} if t5 else {'text_encoder_3': None, 'tokenizer_3': None}
  pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(
    folder, **left_out
  )
  with torch.no_grad():
    states, _, pooled, _ = pipeline.encode_prompt(
      TEXTS,
      None,
      None,
      do_classifier_free_guidance=False,
      max_sequence_length=20,
    )
  ours = encoded(folder, TEXTS)
  assert distance(np.stack([c.states for c in ours]), states) < 2e-5
  assert distance(np.stack([c.pooled for c in ours]), pooled) < 2e-5


@pytest.mark.parametrize(
  'config',
  [
    sd3_tiny.TRANSFORMER,
    sd3_tiny.TRANSFORMER_35,
    dataclasses.replace(sd3_tiny.TRANSFORMER, qk_norm=True),
  ],
  ids=['sd3', 'sd3.5', 'sd3.5-large'],
)
@pytest.mark.parametrize('size', [(8, 8), (10, 6)], ids=str)
def test_images_of_words(config, size, tmp_path):
  folder = sd3_tiny.write(tmp_path, config)
  noise = np.random.default_rng(0).normal(size=(2, 16, *size))
  noise = noise.astype(np.float32)
  pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(folder)
  pipeline.set_progress_bar_config(disable=True)
  theirs = pipeline(
    TEXTS[:2],
    num_inference_steps=4,
    guidance_scale=5.0,
    latents=torch.tensor(noise),
    height=8 * size[0],
    width=8 * size[1],
    max_sequence_length=20,
    output_type='pt',
  ).images.permute(0, 2, 3, 1)

  model = sd3_folder.read(folder)
  params = sd3_folder.load_transformer(model, size, jnp.float32, identity)
  decoder = sd3_folder.load_autoencoder(model, jnp.float32, identity)
  *conditions, null = encoded(folder, TEXTS)
  condition = jax.tree.map(lambda *rows: jnp.stack(rows), *conditions)
  velocity = guidance.guided(MMDiT(model.transformer).apply, 5.0, null)
  latents = jax.jit(
    lambda params, x: solvers.solve(
      lambda x, sigma: velocity(params, x, sigma, condition),
      x,
      noise_levels.sd3_sigmas(4, model.shift),
      solvers.euler(),
      jax.random.split(jax.random.key(0), 2),
    )
  )(params, noise.transpose(0, 2, 3, 1))
  images = Autoencoder(model.autoencoder).apply(
    decoder, latents, method='decode'
  )
  images = np.clip(images / 2 + 0.5, 0, 1)
  assert images.std() > 0.05
  assert np.abs(images - theirs.numpy()).max() < 1e-3


@pytest.mark.parametrize('name', tiny_sd3.VARIANTS)
def test_a_folder_that_diffusers_wrote(name, tmp_path):
  """A folder with diffusers' field names and shards; latents are not square."""
  theirs = tiny_sd3.theirs(tiny_sd3.VARIANTS[name])
  theirs.save_pretrained(tmp_path / 'transformer', max_shard_size='100KB')
  autoencoder = tiny_sd3.their_autoencoder()
  autoencoder.save_pretrained(tmp_path / 'vae')
  scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=2.5)
  scheduler.save_pretrained(tmp_path / 'scheduler')
  (tmp_path / 'model_index.json').write_text(
    json.dumps({'_class_name': 'StableDiffusion3Pipeline'})
  )
  model = sd3_folder.read(tmp_path)
  assert model.transformer == tiny_sd3.VARIANTS[name]
  assert model.autoencoder == tiny_sd3.AUTOENCODER
  assert model.shift == 2.5

  size = 10, 6
  inputs = tiny_sd3.inputs(model.transformer, *size)
  params = sd3_folder.load_transformer(model, size, jnp.float32, identity)
  mmdit = MMDiT(model.transformer)
  velocity = jax.jit(lambda p: tiny_sd3.our_velocity(mmdit, p, *inputs))
  latents = inputs[0].transpose(0, 2, 3, 1)
  decoder = sd3_folder.load_autoencoder(model, jnp.float32, identity)
  images = Autoencoder(model.autoencoder).apply(
    decoder, latents, method='decode'
  )
  with torch.no_grad():
    expected = tiny_sd3.their_velocity(theirs, *inputs)
    config = autoencoder.config
    pixels = autoencoder.decode(
      torch.tensor(inputs[0]) / config.scaling_factor + config.shift_factor
    ).sample
  assert distance(velocity(params), expected) < TOLERANCE
  assert distance(images.transpose(0, 3, 1, 2), pixels) < TOLERANCE
