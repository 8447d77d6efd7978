"""Compares an image with diffusers' StableDiffusion3Pipeline, equal noise."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')

from closeness import distance
import jax
import jax.numpy as jnp
import tiny_sd3

from adrpo_jax.models.condition import Condition
from adrpo_jax.models.sd3.autoencoder import Autoencoder
from adrpo_jax.models.sd3.folder_fields import FIELDS
from adrpo_jax.models.sd3.mmdit import MMDiT
from adrpo_jax.sampling import guidance, noise_levels, solvers

pytestmark = pytest.mark.parity

STEPS, SCALE = 6, 7.0


@pytest.mark.parametrize('shift', [1.0, 2.5, 6.0])
def test_noise_levels_of_another_shift(shift):
  scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
  scheduler.set_timesteps(10)
  ours = noise_levels.sd3_sigmas(10, shift)
  np.testing.assert_allclose(ours, scheduler.sigmas.numpy(), atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('use_karras_sigmas', True),
    ('use_exponential_sigmas', True),
    ('use_beta_sigmas', True),
    ('invert_sigmas', True),
    ('shift_terminal', 0.1),
    ('num_train_timesteps', 500),
  ],
)
def test_a_refused_field_changes_the_levels_of_diffusers(name, value):
  def levels(**fields):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, **fields)
    scheduler.set_timesteps(10)
    return np.concatenate([scheduler.sigmas, scheduler.timesteps / 1000])

  assert value not in FIELDS['scheduler/scheduler_config.json'][name]
  assert np.abs(levels(**{name: value}) - levels()).max() > 1e-3


@pytest.mark.parametrize('steps', [1, 4, 28])
def test_the_grid_is_that_of_their_scheduler(steps):
  scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
  scheduler.set_timesteps(steps)
  ours = noise_levels.sd3_sigmas(steps, 3.0)
  np.testing.assert_allclose(ours, scheduler.sigmas.numpy(), atol=1e-6)


@pytest.mark.parametrize('name', tiny_sd3.VARIANTS)
def test_an_image_from_equal_noise(name, tmp_path):
  config = tiny_sd3.VARIANTS[name]
  transformer = tiny_sd3.theirs(config)
  autoencoder = tiny_sd3.their_autoencoder()
  transformer.save_pretrained(tmp_path / 'transformer')
  autoencoder.save_pretrained(tmp_path / 'vae')
  pipeline = diffusers.StableDiffusion3Pipeline(
    transformer=transformer,
    scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    vae=autoencoder,
    **dict.fromkeys(
      (
        'text_encoder',
        'tokenizer',
        'text_encoder_2',
        'tokenizer_2',
        'text_encoder_3',
        'tokenizer_3',
      )
    ),
  )
  pipeline.set_progress_bar_config(disable=True)
  noise, states, pooled, _ = tiny_sd3.inputs(config, 8, 8)
  null_states, null_pooled = 0.1 * states[:1], 0.1 * pooled[:1]
  theirs = pipeline(
    prompt_embeds=torch.tensor(states),
    pooled_prompt_embeds=torch.tensor(pooled),
    negative_prompt_embeds=torch.tensor(np.repeat(null_states, 2, 0)),
    negative_pooled_prompt_embeds=torch.tensor(np.repeat(null_pooled, 2, 0)),
    latents=torch.tensor(noise),
    num_inference_steps=STEPS,
    guidance_scale=SCALE,
    height=64,
    width=64,
    output_type='pt',
  ).images

  ours = MMDiT(config)
  params = tiny_sd3.load(tmp_path / 'transformer', config, 8, 8)
  null = Condition(jnp.asarray(null_states[0]), jnp.asarray(null_pooled[0]))
  velocity = guidance.guided(ours.apply, SCALE, null)
  condition = Condition(jnp.asarray(states), jnp.asarray(pooled))

  @jax.jit
  def draw(params, decoder, noise):
    latents = solvers.solve(
      lambda x, sigma: velocity(params, x, sigma, condition),
      noise,
      noise_levels.sd3_sigmas(STEPS, 3.0),
      solvers.euler(),
      jax.random.split(jax.random.key(0), 2),
    )
    coder = Autoencoder(tiny_sd3.AUTOENCODER)
    images = coder.apply(decoder, latents, method='decode')
    return jnp.clip(images / 2 + 0.5, 0, 1)

  decoder = tiny_sd3.load_autoencoder(tmp_path / 'vae')
  images = draw(params, decoder, noise.transpose(0, 2, 3, 1))
  assert images.std() > 0.02
  error = np.abs(images - theirs.permute(0, 2, 3, 1).numpy()).max()
  assert error < 1e-3
  assert distance(images, theirs.permute(0, 2, 3, 1)) < 1e-3
