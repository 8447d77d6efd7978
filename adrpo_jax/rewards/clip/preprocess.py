"""The preprocessing of images for CLIP's vision towers, on the device.

Evaluators read PNG files with Pillow, which resizes 8-bit images one axis after
the other and rounds to levels of 1/255 after each. `eight_bit` does the same,
so that a score is that of the saved image.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.rewards.protocol import in_unit_range
from adrpo_jax.types import Array

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

# (images [B, H, W, 3], rows, columns) -> [B, rows, columns, 3] in [0, 1]
Resize = Callable[[Array, int, int], Array]
# (images [B, H, W, 3], S) -> [B, S, S, 3], normalized
Preprocess = Callable[[Array, int], Array]


def eight_bit(images: Array, rows: int, columns: int) -> Array:
  """Resizes images of 256 levels bicubically, in the order of Pillow."""
  x = _rounded(images)
  x = _rounded(_bicubic(x, x.shape[1], columns))
  return _rounded(_bicubic(x, rows, columns))


def continuous(images: Array, rows: int, columns: int) -> Array:
  """Resizes bicubically without rounding; clips overshoots at edges."""
  return jnp.clip(_bicubic(images, rows, columns), 0, 1)


def clip_pixels(
  images: Array, size: int = 224, resize: Resize = eight_bit
) -> Array:
  """Resizes the shortest edge to `size`, crops the center and normalizes.

  The `CLIPImageProcessor` of transformers does so by default.

  Args:
    images: [B, H, W, 3] in [0, 1] or uint8.
    size: S, of the tower.
    resize: `eight_bit` or `continuous`.

  Returns:
    [B, S, S, 3] float32, (pixels − MEAN) / STD.
  """
  shortest = min(images.shape[1:3])
  rows, columns = (int(size * edge / shortest) for edge in images.shape[1:3])
  x = resize(in_unit_range(images), rows, columns)
  top, left = (rows - size) // 2, (columns - size) // 2
  return _normalized(x[:, top : top + size, left : left + size])


def hps_pixels(images: Array, size: int = 224) -> Array:
  """Resizes the longest edge to `size`, pads to a square and normalizes.

  HPSv2 does so: it starts from the 256 levels of a file, resizes without
  rounding, keeps overshoots, and pads with black. Arguments and result are
  those of `clip_pixels`, which agrees up to rounding for square images.
  """
  longest = max(images.shape[1:3])
  rows, columns = (round(edge * size / longest) for edge in images.shape[1:3])
  above, before = (size - rows) // 2, (size - columns) // 2
  x = _bicubic(_rounded(in_unit_range(images)), rows, columns)
  bands = (above, size - rows - above), (before, size - columns - before)
  return _normalized(jnp.pad(x, ((0, 0), *bands, (0, 0))))


def _rounded(x: Array) -> Array:
  """Rounds to the nearest of the levels 0, 1/255, ..., 1."""
  return jnp.round(jnp.clip(x, 0, 1) * 255) / 255


def _bicubic(x: Array, rows: int, columns: int) -> Array:
  """Resizes with Pillow's filter, which widens where an image shrinks."""
  shape = (x.shape[0], rows, columns, x.shape[3])
  return jax.image.resize(x, shape, 'cubic', antialias=True)


def _normalized(x: Array) -> Array:
  mean, std = (np.array(v, np.float32).reshape(1, 1, 1, 3) for v in (MEAN, STD))
  return (x - mean) / std
