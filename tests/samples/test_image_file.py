"""Images that a run keeps: small ones to the bit, large ones in less."""

import dataclasses

import numpy as np
import pytest

from adrpo_jax.samples import image_file


def made(side, prompts=2, group=3):
  """A gradient with a disc at another place and in another color each."""
  y, x = np.mgrid[:side, :side] / side
  images = np.empty((prompts, group, side, side, 3), np.uint8)
  for p, g in np.ndindex(prompts, group):
    disc = (x - 0.3 - 0.1 * g) ** 2 + (y - 0.3 - 0.2 * p) ** 2 < 0.03
    images[p, g] = np.stack([200 * x, 200 * y, 100 + 0 * x], -1)
    images[p, g][disc] = (250, 20 + 60 * g, 20 + 100 * p)
  shape = (prompts, group)
  return image_file.Samples(
    images=images,
    prompts=np.array([f'prompt {p}' for p in range(prompts)]),
    categories=np.array(['x'] * prompts),
    rewards=np.arange(prompts * group, dtype=float).reshape(shape),
    success=np.arange(prompts * group).reshape(shape) % 2 > 0,
    verdicts=np.full(shape, '1/2 facts'),
  )


def test_small_images_come_back_to_the_bit(tmp_path):
  given = made(image_file.SMALL)
  image_file.write(tmp_path / 'base.npz', given)
  got = image_file.read(tmp_path / 'base.npz')
  for field in dataclasses.fields(given):
    expected = getattr(given, field.name)
    np.testing.assert_array_equal(getattr(got, field.name), expected)


def test_large_images_look_the_same_in_a_hundredth_of_the_bytes(tmp_path):
  given = made(1024)
  path = tmp_path / 'samples' / 'base.npz'
  image_file.write(path, given)
  got = image_file.read(path)
  assert got.images.dtype == np.uint8
  assert got.images.shape == given.images.shape
  error = got.images.astype(float) - given.images
  assert np.abs(error).mean(axis=(2, 3, 4)).max() < 2  # of 255, in each
  np.testing.assert_array_equal(got.rewards, given.rewards)
  assert path.stat().st_size < given.images.nbytes / 100


def test_a_torn_file_is_not_read(tmp_path):
  path = tmp_path / 'base.npz'
  image_file.write(path, made(300))
  path.write_bytes(path.read_bytes()[:-100])
  with pytest.raises(ValueError, match='cut short'):
    image_file.read(path)
