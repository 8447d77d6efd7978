"""What draws: a base checkpoint as functions, and its weights on the mesh."""

from collections.abc import Callable, Sequence
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax import sharding
from adrpo_jax.build.checks import named
from adrpo_jax.models import base as base_models
from adrpo_jax.models import sd3, sd3_text
from adrpo_jax.models.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.hub import cache_folder, local_folder
from adrpo_jax.models.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.models.prompt_cache import PromptCache, fingerprint
from adrpo_jax.models.text_encoder import TextEncoder
from adrpo_jax.models.tiling import decode_in_tiles
from adrpo_jax.sampling import noise_levels
from adrpo_jax.sampling.guidance import Velocity
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import WORLDS

Rows = Callable[[np.ndarray], PyTree]


class Generator(NamedTuple):
  """A base that can be sampled from and trained.

  velocity:     (full parameters, x, σ, condition) -> v
  decode:       (autoencoder parameters, latents) -> images in [0, 1], about
  encode:       (texts) -> (ids [N]) -> conditions [N, ...] of these texts
  grid:         (solver steps, shift) -> noise levels [N + 1]
  latent_shape: of one picture
  config:       of the transformer
  frozen:       'reference', 'autoencoder', 'null_condition', on the mesh
  identity:     a digest of the weights
  """

  velocity: Velocity
  decode: Callable[[PyTree, Array], Array]
  encode: Callable[[Sequence[str]], Rows]
  grid: Callable[[int, float], np.ndarray]
  latent_shape: tuple[int, int, int]
  config: MMDiTConfig
  frozen: dict[str, PyTree]
  identity: str


def make_generator(config: ConfigDict, mesh: jax.sharding.Mesh) -> Generator:
  """The base that a config names, read from its folder.

  Raises:
    InputError: a folder or a setting that is not of its family.
  """
  return named(FAMILIES, config.model.family, 'family of models')(config, mesh)


def base_folder(config: ConfigDict) -> pathlib.Path:
  """Where a world's base lies: at the config's path, or with the package."""
  package = pathlib.Path(__file__).parents[1]
  shipped = package / 'worlds' / f'{config.world}_base'
  return pathlib.Path(config.model.path or shipped)


def of_world(config: ConfigDict, mesh: jax.sharding.Mesh) -> Generator:
  """The base of a world: small, with a text encoder of its own."""
  world = named(WORLDS, config.world, 'world')
  folder = base_folder(config)
  models = base_models.load(folder)
  weights = {
    name: sharding.put_tree(tree, sharding.tree_shardings(tree, mesh))
    for name, tree in models.params.items()
  }
  read = jax.jit(TextEncoder(models.text_encoder).apply)

  def encode(texts: Sequence[str]) -> Rows:
    states = read(weights['text_encoder'], world.tokenise(texts))
    table = jax.device_get(states)
    return lambda ids: jax.tree.map(lambda leaf: leaf[ids], table)

  size = models.mmdit.sample_size
  return Generator(
    velocity=MMDiT(models.mmdit, _compute(config, mesh)).apply,
    decode=_decoder(models.autoencoder, config.model.decode_tile),
    encode=encode,
    grid=noise_levels.shifted_sigmas,
    latent_shape=(size, size, models.mmdit.in_channels),
    config=models.mmdit,
    frozen={
      'reference': weights['transformer'],
      'autoencoder': weights['autoencoder'],
      'null_condition': _null(encode),
    },
    identity=fingerprint([folder]),
  )


def of_sd3(config: ConfigDict, mesh: jax.sharding.Mesh) -> Generator:
  """Stable Diffusion 3 or 3.5, from a folder in the layout of diffusers."""
  folder = local_folder(config.model.path)
  model = sd3.read(folder)
  compute = _compute(config, mesh)
  edge = config.model.pixels // model.autoencoder.downsampling

  def place(shapes: PyTree) -> PyTree:
    return sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))

  length = config.model.t5_length
  parts = [*folder.glob('text_encoder*'), *folder.glob('tokenizer*')]
  name = fingerprint(sorted(parts), length, jnp.dtype(compute.dtype).name)
  encode = PromptCache(
    cache_folder() / 'prompts' / name,
    lambda texts: sd3_text.encode(
      folder,
      texts,
      width=model.transformer.joint_attention_dim,
      t5_length=length,
      compute=compute,
      place=place,
    ),
  )
  null = _null(encode)  # First: the encoders are gone before the rest comes.
  dtype = jnp.dtype(config.model.param_dtype)
  return Generator(
    velocity=MMDiT(model.transformer, compute).apply,
    decode=_decoder(model.autoencoder, config.model.decode_tile),
    encode=encode,
    grid=noise_levels.sd3_sigmas,
    latent_shape=(edge, edge, model.transformer.in_channels),
    config=model.transformer,
    frozen={
      'reference': sd3.load_transformer(model, (edge, edge), dtype, place),
      'autoencoder': sd3.load_autoencoder(model, jnp.float32, place),
      'null_condition': null,
    },
    identity=fingerprint([folder / 'transformer', folder / 'vae']),
  )


FAMILIES: dict[str, Callable[[ConfigDict, jax.sharding.Mesh], Generator]] = {
  'world': of_world,
  'sd3': of_sd3,
}
KEPT = {
  'all': None,
  'nothing': jax.checkpoint_policies.nothing_saveable,
  'products': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def split_by_rows(mesh: jax.sharding.Mesh, rows: PyTree) -> PyTree:
  """Keeps arrays that lead with rows split over the devices by row."""
  return jax.lax.with_sharding_constraint(rows, sharding.batch_sharding(mesh))


def _compute(config: ConfigDict, mesh: jax.sharding.Mesh) -> Compute:
  model = config.model
  return Compute(
    dtype=jnp.dtype(model.dtype),
    unroll=model.unroll,
    checkpoint=named(KEPT, model.kept, 'choice of what layers keep'),
    constrain=lambda rows: split_by_rows(mesh, rows),
  )


def _decoder(
  config: AutoencoderConfig, tile: int
) -> Callable[[PyTree, Array], Array]:
  """Latents to pixels, in tiles with an overlap of a quarter where asked."""
  model = Autoencoder(config)

  def decode(params: PyTree, latents: Array) -> Array:
    def whole(latents: Array) -> Array:
      return model.apply(params, latents, method='decode')

    images = decode_in_tiles(
      whole,
      latents,
      tile=tile or max(latents.shape[1:3]),
      overlap=tile // 4,
      scale=config.downsampling,
    )
    return images / 2 + 0.5

  return decode


def _null(encode: Callable[[Sequence[str]], Rows]) -> PyTree:
  """The condition of the empty prompt."""
  rows = encode([''])(np.arange(1))
  return jax.tree.map(lambda leaf: leaf[0], rows)
