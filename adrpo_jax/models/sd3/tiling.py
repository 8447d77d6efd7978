"""Decodes a large image in overlapping tiles, with the memory of one tile.

  image = Σ_t w_t · decode(latents_t) / Σ_t w_t

The weight w_t falls linearly towards the borders of a tile over its overlap
with the next one, so there are no seams. Layers that mix all positions
(attention, group norm) see one tile at a time. The image is therefore close to
the image decoded at once, but not equal to it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import Array


def tiled_decode(
  decode: Callable[[Array], Array],
  latents: Array,
  *,
  tile: int,
  overlap: int,
  scale: int,
) -> Array:
  """Decodes [B, h, w, C] -> [B, h·scale, w·scale, 3], tile after tile.

  Args:
    decode: latents [B, t, t, C] -> images [B, t·scale, t·scale, 3].
    latents: the latents of whole images. They are decoded at once if they are
      no larger than a tile.
    tile: the largest edge of a tile, in latents.
    overlap: the smallest overlap of neighboring tiles, in latents.
    scale: the width of a latent in pixels.

  Raises:
    ValueError: the overlap is not in [0, tile).
  """
  if not 0 <= overlap < tile:
    raise ValueError(
      f'Expected an overlap from 0 to below the tile of {tile} latents, got '
      f'{overlap}.'
    )
  batch, height, width, channels = latents.shape
  if max(height, width) <= tile:
    return decode(latents)
  size = min(height, tile), min(width, tile)
  corners = [
    (top, left)
    for top in _starts(height, size[0], overlap)
    for left in _starts(width, size[1], overlap)
  ]
  weight = jnp.asarray(
    _ramp(size[0], overlap, scale)[:, None] * _ramp(size[1], overlap, scale)
  )[None, :, :, None]

  def add(sums, corner):
    top, left = corner
    piece = jax.lax.dynamic_slice(
      latents, (0, top, left, 0), (batch, *size, channels)
    )
    decoded = weight * decode(piece)
    start = (0, top * scale, left * scale, 0)
    return tuple(
      jax.lax.dynamic_update_slice(
        total, jax.lax.dynamic_slice(total, start, part.shape) + part, start
      )
      for total, part in zip(sums, (decoded, weight), strict=True)
    ), None

  whole = height * scale, width * scale
  zeros = jnp.zeros((batch, *whole, 3)), jnp.zeros((1, *whole, 1))
  (image, weights), _ = jax.lax.scan(add, zeros, jnp.array(corners))
  return image / weights


def _starts(length: int, tile: int, overlap: int) -> np.ndarray:
  """Evenly spaced starts of the fewest tiles that cover `length`."""
  count = (
    -(-max(length - overlap, 1) // (tile - overlap)) if tile < length else 1
  )
  return np.linspace(0, length - tile, count).round().astype(np.int32)


def _ramp(tile: int, overlap: int, scale: int) -> np.ndarray:
  """The weights of a tile's pixels along an axis, all positive."""
  pixels = np.arange(tile * scale) + 0.5
  nearest = np.minimum(pixels, pixels[::-1])
  return np.minimum(nearest / max(overlap * scale, 1), 1.0).astype(np.float32)
