"""Checks tiles by hand, with decoders that work on single latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models.sd3.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.sd3.tiling import tiled_decode


def enlarge(latents):
  """Decodes three channels, with 2 × 2 pixels for every latent."""
  return jnp.repeat(jnp.repeat(latents[..., :3], 2, 1), 2, 2)


@pytest.mark.parametrize(
  ('height', 'width', 'tile', 'overlap'),
  [(7, 5, 4, 1), (12, 4, 4, 2), (9, 16, 8, 3), (10, 10, 4, 0)],
)
def test_tiles_of_a_local_decoder_are_the_whole(height, width, tile, overlap):
  latents = jax.random.normal(jax.random.key(0), (2, height, width, 4))
  shapes = []

  def decode(piece):
    shapes.append(piece.shape)
    return enlarge(piece)

  tiled = tiled_decode(decode, latents, tile=tile, overlap=overlap, scale=2)
  np.testing.assert_allclose(tiled, enlarge(latents), atol=1e-6)
  assert set(shapes) == {(2, min(height, tile), min(width, tile), 4)}


def test_neighbors_fade_into_each_other_by_hand():
  """Two tiles of 3 share 2 latents, over which their weights cross linearly."""
  latents = jnp.zeros((1, 1, 4, 3)).at[0, 0, 0].set(1.0)

  def decode(piece):  # A tile is as bright as its left corner.
    return jnp.broadcast_to(piece[:, :, :1], piece.shape)

  image = tiled_decode(decode, latents, tile=3, overlap=2, scale=1)
  # Weights of a tile: 1/4, 3/4, 1/4. Pixel 1: (3/4)/(3/4 + 1/4).
  np.testing.assert_allclose(image[0, 0, :, 0], [1, 0.75, 0.25, 0], atol=1e-6)


def test_a_small_image_is_decoded_at_once():
  latents = jax.random.normal(jax.random.key(0), (1, 4, 3, 3))
  tiled = tiled_decode(enlarge, latents, tile=4, overlap=1, scale=2)
  np.testing.assert_array_equal(tiled, enlarge(latents))


def test_an_overlap_as_large_as_the_tile():
  with pytest.raises(ValueError, match='below the tile of 4'):
    tiled_decode(enlarge, jnp.zeros((1, 8, 8, 3)), tile=4, overlap=4, scale=2)


def test_temporary_memory_does_not_grow_with_the_image():
  config = AutoencoderConfig(
    block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4
  )
  model = Autoencoder(config)
  image = jnp.zeros((1, 32, 32, 3))
  params = jax.eval_shape(
    model.init, jax.random.key(0), image, jax.random.key(0)
  )

  def temporaries(edge, tile):
    def draw(params, latents):
      return tiled_decode(
        lambda z: model.apply(params, z, method='decode'),
        latents,
        tile=tile,
        overlap=4,
        scale=config.downsampling,
      )

    latents = jax.ShapeDtypeStruct((1, edge, edge, 4), jnp.float32)
    compiled = jax.jit(draw).lower(params, latents).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporaries(64, 16) < temporaries(64, 64) / 8
