"""Images on their way to the host: what this process holds of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import Array


class Piece(NamedTuple):
  """An entry of an array, within what one device of this process holds."""

  block: jax.Array
  within: tuple[int, ...]

  def read(self) -> np.ndarray:
    """The entry; waits for the device. The block comes to the host once."""
    return np.asarray(self.block)[self.within]


@jax.jit
def quantise(images: Array) -> tuple[Array, Array]:
  """[P, G, H, W, 3] -> the same in uint8, and [P, G] whether it was finite."""
  finite = jnp.isfinite(images).all((2, 3, 4))
  if images.dtype == jnp.uint8:
    return images, finite
  whole = jnp.where(finite[..., None, None, None], images, 0.0)
  return jnp.round(jnp.clip(whole, 0, 1) * 255).astype(jnp.uint8), finite


def held(array: jax.Array, leading: int) -> dict[tuple[int, ...], Piece]:
  """Index in the leading axes -> that entry, for those on this process.

  Starts the way of each to the host, and does not wait for it.

  Raises:
    ValueError: entries that lie in pieces on several devices.
  """
  pieces: dict[tuple[int, ...], Piece] = {}
  for shard in array.addressable_shards:
    block = shard.data
    if block.shape[leading:] != array.shape[leading:]:
      raise ValueError(
        'Expected images that are sharded by sample, got pieces of shape '
        f'{block.shape[leading:]} of images of shape {array.shape[leading:]}.'
      )
    starts = tuple(index.start or 0 for index in shard.index[:leading])
    if starts in pieces:
      continue
    block.copy_to_host_async()
    for within in np.ndindex(*block.shape[:leading]):
      place = tuple(s + i for s, i in zip(starts, within, strict=True))
      pieces.setdefault(place, Piece(block, within))
  return pieces
