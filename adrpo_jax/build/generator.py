"""What draws: a base checkpoint as functions, and its weights on the mesh."""

from collections.abc import Callable, Sequence
import pathlib
from typing import NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax import sharding
from adrpo_jax.models import base as base_models
from adrpo_jax.models.autoencoder import Autoencoder
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.models.text_encoder import TextEncoder
from adrpo_jax.sampling import noise_levels
from adrpo_jax.sampling.guidance import Velocity
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import World


class Generator(NamedTuple):
  """A base that can be sampled from and trained.

  velocity:     (full parameters, x, σ, condition) -> v
  decode:       (autoencoder parameters, latents) -> images in [0, 1], about
  encode:       (texts) -> their conditions [N, ...], on the host
  grid:         (solver steps, shift) -> noise levels [N + 1]
  latent_shape: of one picture
  config:       of the transformer
  frozen:       'reference', 'autoencoder', 'null_condition', on the mesh
  """

  velocity: Velocity
  decode: Callable[[PyTree, Array], Array]
  encode: Callable[[Sequence[str]], PyTree]
  grid: Callable[[int, float], np.ndarray]
  latent_shape: tuple[int, int, int]
  config: MMDiTConfig
  frozen: dict[str, PyTree]


def base_folder(config: ConfigDict) -> pathlib.Path:
  """Where the base checkpoint lies: the config's, or the one we ship."""
  package = pathlib.Path(__file__).parents[1]
  shipped = package / 'worlds' / f'{config.world}_base'
  return pathlib.Path(config.model.base or shipped)


def make_generator(
  config: ConfigDict, world: World, mesh: jax.sharding.Mesh
) -> Generator:
  """The base of a world, of its own small text encoder and autoencoder."""
  models = base_models.load(base_folder(config))
  weights = {
    name: sharding.put_tree(tree, sharding.tree_shardings(tree, mesh))
    for name, tree in models.params.items()
  }
  compute = Compute(constrain=lambda rows: split_by_rows(mesh, rows))
  autoencoder = Autoencoder(models.autoencoder)
  read = jax.jit(TextEncoder(models.text_encoder).apply)

  def encode(texts: Sequence[str]) -> PyTree:
    return jax.device_get(read(weights['text_encoder'], world.tokenise(texts)))

  def decode(params: PyTree, latents: Array) -> Array:
    return autoencoder.apply(params, latents, method='decode') / 2 + 0.5

  size = models.mmdit.sample_size
  return Generator(
    velocity=MMDiT(models.mmdit, compute).apply,
    decode=decode,
    encode=encode,
    grid=noise_levels.shifted_sigmas,
    latent_shape=(size, size, models.mmdit.in_channels),
    config=models.mmdit,
    frozen={
      'reference': weights['transformer'],
      'autoencoder': weights['autoencoder'],
      'null_condition': jax.tree.map(lambda leaf: leaf[0], encode([''])),
    },
  )


def split_by_rows(mesh: jax.sharding.Mesh, rows: PyTree) -> PyTree:
  """Keeps arrays that lead with rows split over the devices by row."""
  return jax.lax.with_sharding_constraint(rows, sharding.batch_sharding(mesh))
