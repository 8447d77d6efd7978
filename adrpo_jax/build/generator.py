"""What draws: a base checkpoint as functions, and its weights on the mesh."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax import sharding
from adrpo_jax.build.checks import named
from adrpo_jax.errors import InputError
from adrpo_jax.models import attention
from adrpo_jax.models.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.mmdit import MMDiTConfig
from adrpo_jax.models.tiling import decode_in_tiles
from adrpo_jax.sampling.guidance import Velocity
from adrpo_jax.types import Array, PyTree

Rows = Callable[[np.ndarray], PyTree]

KEPT = {
  'all': None,
  'nothing': jax.checkpoint_policies.nothing_saveable,
  'products': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


class Generator(NamedTuple):
  """A base that can be sampled from and trained.

  velocity:     (full parameters, x, σ, condition) -> v
  decode:       (autoencoder parameters, latents) -> images in [0, 1], about
  encode:       (texts) -> (ids [N]) -> conditions [N, ...] of these texts
  grid:         (solver steps, shift) -> noise levels [N + 1]
  latent_shape: of one picture
  config:       of the transformer
  frozen:       'reference', 'autoencoder', 'null_condition', on the mesh
  positions:    () -> the position table that an export has, None for ours
  identity:     a digest of the weights
  """

  velocity: Velocity
  decode: Callable[[PyTree, Array], Array]
  encode: Callable[[Sequence[str]], Rows]
  grid: Callable[[int, float], np.ndarray]
  latent_shape: tuple[int, int, int]
  config: MMDiTConfig
  frozen: dict[str, PyTree]
  positions: Callable[[], np.ndarray | None]
  identity: str


def split_by_rows(mesh: jax.sharding.Mesh, rows: PyTree) -> PyTree:
  """Keeps arrays that lead with rows split over the devices by row."""
  return jax.lax.with_sharding_constraint(rows, sharding.batch_sharding(mesh))


def make_compute(config: ConfigDict, mesh: jax.sharding.Mesh) -> Compute:
  """How the models of a config are computed."""
  model = config.model
  return Compute(
    dtype=jnp.dtype(model.dtype),
    attention=attention.for_mesh(mesh),
    unroll=model.unroll,
    checkpoint=named(KEPT, model.kept, 'choice of what layers keep'),
    constrain=lambda rows: split_by_rows(mesh, rows),
  )


def make_decoder(
  sizes: AutoencoderConfig, config: ConfigDict
) -> Callable[[PyTree, Array], Array]:
  """Latents [B, h, w, C] -> pixels, about [0, 1].

  In parts of the batch, one after another, and in tiles of a picture, where
  the config asks for either.
  """
  model = Autoencoder(sizes)
  tile, parts = config.decode_tile, config.decode_parts

  def decode(params: PyTree, latents: Array) -> Array:
    return decode_in_tiles(
      lambda part: model.apply(params, part, method='decode'),
      latents,
      tile=tile or max(latents.shape[1:3]),
      overlap=tile // 4,
      scale=sizes.downsampling,
    )

  def decoded(params: PyTree, latents: Array) -> Array:
    if latents.shape[0] % parts:
      raise InputError(
        f'Expected --config.model.decode_parts to divide the {len(latents)} '
        f'samples, got {parts}.'
      )
    # A part takes every parts-th row, so that it spans all devices.
    split = latents.reshape(-1, parts, *latents.shape[1:]).swapaxes(0, 1)
    images = jax.lax.map(lambda part: decode(params, part), split)
    return images.swapaxes(0, 1).reshape(-1, *images.shape[2:]) / 2 + 0.5

  return decoded


def null_condition(encode: Callable[[Sequence[str]], Rows]) -> PyTree:
  """The condition of the empty prompt."""
  rows = encode([''])(np.arange(1))
  return jax.tree.map(lambda leaf: leaf[0], rows)


def on_mesh(mesh: jax.sharding.Mesh) -> Callable[[PyTree], PyTree]:
  """Gives shapes their shardings."""

  def place(shapes: PyTree) -> PyTree:
    return sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))

  return place


def everywhere(mesh: jax.sharding.Mesh) -> Callable[[PyTree], PyTree]:
  """Gives shapes the sharding of a copy on every device: for small models."""

  def place(shapes: PyTree) -> PyTree:
    whole = sharding.replicated(mesh)
    return sharding.abstract(shapes, jax.tree.map(lambda _: whole, shapes))

  return place
