"""Images for CLIP towers, by hand; Pillow and torch are in tests/parity."""

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.rewards.clip import preprocess as clip_preprocess
from adrpo_jax.rewards.clip.preprocess import clip_pixels, hps_pixels

MEAN, STD = np.array(clip_preprocess.MEAN), np.array(clip_preprocess.STD)


def denormalized(pixels):
  return np.asarray(pixels) * STD + MEAN


@pytest.mark.parametrize('preprocess', [clip_pixels, hps_pixels])
def test_an_image_of_one_color_keeps_it(preprocess):
  color = np.array([0.2, 0.4, 1.0], np.float32)  # 51, 102, 255
  for shape in ((5, 5), (16, 16), (40, 40)):
    images = np.broadcast_to(color, (2, *shape, 3))
    made = preprocess(images, 16)
    assert made.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(
      made, (images[:, :1, :1] - MEAN) / STD + 0 * made, atol=1e-5
    )


def test_the_center_of_the_longer_edge():
  """Columns 0 ... 9 of an image 4 high: 3, 4, 5, 6 are kept, in both ways."""
  images = np.zeros((1, 4, 10, 3), np.uint8)
  images[0] = np.arange(10)[None, :, None]
  kept = np.round(255 * denormalized(clip_pixels(images, 4)))
  np.testing.assert_array_equal(kept[0, 0, :, 1], [3, 4, 5, 6])
  upright = np.round(255 * denormalized(clip_pixels(images.swapaxes(1, 2), 4)))
  np.testing.assert_array_equal(upright, kept.swapaxes(1, 2))
  # Five rows too many: two above, three below.
  odd = (
    np.zeros((1, 9, 4, 3), np.uint8)
    + np.arange(9, dtype=np.uint8)[:, None, None]
  )
  kept = np.round(255 * denormalized(clip_pixels(odd, 4)))
  np.testing.assert_array_equal(kept[0, :, 0, 0], [2, 3, 4, 5])


def test_bands_of_hps_are_black_before_normalization():
  images = np.ones((1, 4, 10, 3), np.float32)
  made = denormalized(hps_pixels(images, 10))[0, :, :, 0]
  np.testing.assert_allclose(made[3:7], 1, atol=1e-6)
  np.testing.assert_allclose(made[:3], 0, atol=1e-6)
  np.testing.assert_allclose(made[7:], 0, atol=1e-6)


def test_levels():
  """Floats score as the 8-bit file they become; `continuous` keeps them."""
  rng = np.random.default_rng(0)
  images = rng.uniform(-0.1, 1.1, (2, 20, 24, 3)).astype(np.float32)
  saved = np.round(images.clip(0, 1) * 255).astype(np.uint8)
  made = clip_pixels(images, 8)
  np.testing.assert_array_equal(made, clip_pixels(saved, 8))
  np.testing.assert_array_equal(hps_pixels(images, 8), hps_pixels(saved, 8))
  levels = 255 * denormalized(made)
  np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)


def test_without_levels():
  """Three roundings are less than two levels where nothing overshoots."""
  rng = np.random.default_rng(0)
  images = rng.uniform(0.3, 0.7, (2, 20, 24, 3)).astype(np.float32)
  smooth = clip_pixels(images, 8, clip_preprocess.continuous)
  apart = 255 * np.abs(
    denormalized(smooth) - denormalized(clip_pixels(images, 8))
  )
  assert 0.4 < apart.max() < 2


def test_what_is_not_finite_stays_in_its_own_image():
  images = jnp.full((2, 20, 24, 3), 0.5).at[0, 10, 12, 1].set(jnp.nan)
  for made in (clip_pixels(images, 8), hps_pixels(images, 8)):
    assert np.isnan(made[0]).any()
    assert np.isfinite(made[1]).all()
