"""The training set of a base of shapes: rendered images with captions."""

from collections.abc import Mapping
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.samples import image_file
from adrpo_jax.system import cache_files
from adrpo_jax.worlds import shapes, shapes_prompts


class CaptionedImages(NamedTuple):
  """The training set: images, and their captions as rows of a prompt table."""

  tokens: np.ndarray  # [Q, L], one row per prompt
  prompt: np.ndarray  # [N], the row of each image's caption
  images: np.ndarray  # [N, H, W, 3] uint8

  def pixels(self, rows: np.ndarray) -> np.ndarray:
    """Returns images as an autoencoder reads them, float32 in [-1, 1]."""
    return self.images[rows].astype(np.float32) / 127.5 - 1


def render_images(
  count: int, corruption: float, seed: int, shares: Mapping[str, float]
) -> CaptionedImages:
  """Renders `count` images; a share `corruption` contradicts its caption."""
  rng = np.random.default_rng(seed)
  listed = shapes_prompts.prompts('train')
  texts = [text for text, _ in listed]
  category = np.array([c for _, c in listed])
  chance = np.array([shares[c] / np.sum(category == c) for c in category])
  prompt = rng.choice(len(texts), count, p=chance / chance.sum())
  table = shapes_prompts.facts(texts)
  stated = shapes.Facts(*(leaf[prompt] for leaf in table))
  wrong = rng.random(count) < corruption
  corrupted = shapes_prompts.corrupt(
    shapes.Facts(*(leaf[wrong] for leaf in stated)), rng
  )
  for leaf, change in zip(stated, corrupted, strict=True):
    leaf[wrong] = change
  draw = jax.jit(
    lambda f, k: jnp.round(shapes.draw(f, k) * 255).astype(jnp.uint8)
  )
  images = np.empty((count, shapes.SIDE, shapes.SIDE, 3), np.uint8)
  for start in range(0, count, 1024):
    part = shapes.Facts(*(leaf[start : start + 1024] for leaf in stated))
    key = jax.random.fold_in(jax.random.key(seed), start)
    images[start : start + 1024] = draw(part, key)
  return CaptionedImages(shapes_prompts.tokenize(texts), prompt, images)


def dataset(
  cache: pathlib.Path,
  count: int,
  corruption: float,
  seed: int,
  shares: Mapping[str, float],
) -> CaptionedImages:
  """Returns the images of a workdir, which are rendered once."""
  if (stored := cache_files.read(cache)) is not None:
    return CaptionedImages(**image_file.npz_arrays(stored))
  data = render_images(count, corruption, seed, shares)
  cache_files.write(cache, image_file.npz_bytes(data._asdict()))
  return data
