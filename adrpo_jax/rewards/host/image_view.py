"""Images for judges on the host: [H, W, 3] uint8."""

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.rewards.host.transfer import Place, View, Viewed, local_pieces
from adrpo_jax.types import Array


@jax.jit
def quantize(images: Array) -> tuple[Array, Array]:
  """[P, G, H, W, 3] -> the images in uint8, and [P, G] True where finite."""
  finite = jnp.isfinite(images).all((2, 3, 4))
  if images.dtype == jnp.uint8:
    return images, finite
  whole = jnp.where(finite[..., None, None, None], images, 0.0)
  return jnp.round(jnp.clip(whole, 0, 1) * 255).astype(jnp.uint8), finite


def pieces(images: Array) -> dict[Place, Viewed]:
  """Place -> image, of images [P, G, H, W, 3] in [0, 1] or uint8."""
  whole, finite = (
    local_pieces(array, 2) for array in quantize(jnp.asarray(images))
  )
  return {
    place: Viewed(image.read, finite[place].read)
    for place, image in whole.items()
  }


IMAGES = View(pieces, np.stack, 'images were not finite')
