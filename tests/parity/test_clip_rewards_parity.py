"""Rewards of CLIP towers against transformers, from pictures to scores."""

import numpy as np
from PIL import Image
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

import jax.numpy as jnp

from adrpo_jax.rewards import clip_preprocess

pytestmark = pytest.mark.parity

SIZES = [(64, 64), (96, 64), (50, 131), (224, 224), (225, 301), (17, 23)]


def pictures(height, width, seed=0):
  """[2, H, W, 3] uint8: noise on large steps, so that filters overshoot."""
  rng = np.random.default_rng(seed)
  steps = rng.integers(0, 2, (2, 1 + height // 8, 1 + width // 8, 3)) * 200
  large = steps.repeat(8, 1).repeat(8, 2)[:, :height, :width]
  return (large + rng.integers(0, 56, large.shape)).astype(np.uint8)


def processor(size):
  return transformers.CLIPImageProcessorPil(
    size={'shortest_edge': size}, crop_size={'height': size, 'width': size}
  )


@pytest.mark.parametrize('edges', SIZES, ids=str)
def test_pixels_of_files(edges):
  """One level of 1/255 at ties of rounding, elsewhere rounding errors."""
  images = pictures(*edges)
  theirs = processor(56)(list(images), return_tensors='np').pixel_values
  ours = clip_preprocess.clip_pixels(images, 56)
  levels = np.abs(ours - theirs.transpose(0, 2, 3, 1))
  levels = levels * 255 * np.array(clip_preprocess.STD)
  assert levels.max() < 1.01
  assert (levels > 0.01).mean() < 1e-3


@pytest.mark.parametrize('edges', SIZES, ids=str)
def test_pixels_that_are_not_rounded(edges):
  """Pillow's filter on float channels."""
  images = pictures(*edges) / np.float32(255)
  height, width = edges
  scale = 56 / min(edges)
  rows, columns = int(height * scale + 1e-9), int(width * scale + 1e-9)
  for image, ours in zip(
    images,
    clip_preprocess.clip_pixels(images, 56, clip_preprocess.continuous),
    strict=True,
  ):
    channels = [
      np.asarray(
        Image.fromarray(image[..., i]).resize(
          (columns, rows), Image.Resampling.BICUBIC
        )
      )
      for i in range(3)
    ]
    whole = np.clip(np.stack(channels, -1), 0, 1)
    top, left = (rows - 56) // 2, (columns - 56) // 2
    crop = whole[top : top + 56, left : left + 56]
    expected = (crop - clip_preprocess.MEAN) / np.array(clip_preprocess.STD)
    assert np.abs(ours - expected).max() < 1e-3


@pytest.mark.parametrize('edges', SIZES, ids=str)
def test_pixels_of_hps(edges):
  images = torch.tensor(pictures(*edges) / np.float32(255)).permute(0, 3, 1, 2)
  rows, columns = (round(edge * 56 / max(edges)) for edge in edges)
  resized = torch.nn.functional.interpolate(
    images, (rows, columns), mode='bicubic', antialias=True
  )
  above, before = (56 - rows) // 2, (56 - columns) // 2
  padded = torch.zeros(2, 3, 56, 56)
  padded[:, :, above : above + rows, before : before + columns] = resized
  mean, std = (
    torch.tensor(v)[:, None, None]
    for v in (clip_preprocess.MEAN, clip_preprocess.STD)
  )
  expected = ((padded - mean) / std).permute(0, 2, 3, 1).numpy()
  ours = clip_preprocess.hps_pixels(jnp.asarray(pictures(*edges)), 56)
  assert np.abs(ours - expected).max() < 1e-3
