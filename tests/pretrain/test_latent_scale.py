"""The latents that a base of shapes is trained on have the scale it states."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import small_run

from adrpo_jax.models.sd3.autoencoder import Autoencoder
from adrpo_jax.models.shapes.base import initialize
from adrpo_jax.pretrain import shapes
from adrpo_jax.pretrain.captioned_images import CaptionedImages
from adrpo_jax.pretrain.shapes_losses import decoder_loss

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
DATA = CaptionedImages(np.zeros((1, 14), int), np.zeros(8, int), IMAGES)


@pytest.fixture(scope='module')
def params():
  return initialize(small_run.MODELS, jax.random.key(0))['autoencoder']


def scaled(shift, scale):
  config = small_run.MODELS.autoencoder
  return Autoencoder(
    dataclasses.replace(config, shift_factor=shift, scaling_factor=scale)
  )


@pytest.mark.slow
def test_latents_are_shifted_and_scaled_once(params):
  raw = shapes._encoded(scaled(0.0, 1.0), params, DATA)
  got = shapes._encoded(scaled(0.5, 3.0), params, DATA)
  np.testing.assert_allclose(got, (raw - 0.5) * 3.0, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_loss_of_a_decoder_does_not_depend_on_the_scale(params):
  parts, images = params['params'], DATA.pixels(np.arange(8))
  losses = [
    decoder_loss(coder, parts['encoder'], parts['decoder'], images, None)
    for coder in (scaled(0.0, 1.0), scaled(0.5, 3.0))
  ]
  np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.slow
def test_a_new_base_has_latents_of_unit_scale(params):
  """Its autoencoder is not trained here, and scaled as it comes."""

  def untrained(name, stage, loss, params, batch_of, seed):
    return params

  recipe = SimpleNamespace(autoencoder=None)
  new = shapes._with_autoencoder(small_run.MODELS, recipe, DATA, untrained, 0)
  latents = shapes._encoded(
    Autoencoder(new.autoencoder), new.params['autoencoder'], DATA
  )
  np.testing.assert_allclose(latents.mean(), 0, atol=1e-4)
  np.testing.assert_allclose(latents.std(), 1, rtol=1e-4)
