"""Stable Diffusion 3 and 3.5: from a folder, or as shapes alone."""

import pathlib

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.base import (
  Generator,
  Rows,
  make_compute,
  refuse_prompts,
  replicate,
  shard,
)
from adrpo_jax.builders.generators.flow import (
  FlowModel,
  make_decoder,
  make_flow_generator,
  null_condition,
)
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.files import opened_files
from adrpo_jax.models.files.hub import local_folder
from adrpo_jax.models.files.safetensors_trees import with_dtype
from adrpo_jax.models.prompt_cache import PromptCache
from adrpo_jax.models.sd3 import folder as sd3_folder
from adrpo_jax.models.sd3 import text_conditions
from adrpo_jax.models.sd3.folder_fields import has_t5
from adrpo_jax.models.sd3.mmdit import MMDiT
from adrpo_jax.models.tiny import clip as clip_tiny
from adrpo_jax.models.tiny import sd3 as sd3_tiny
from adrpo_jax.sampling import noise_levels
from adrpo_jax.system.cache_files import cache_folder, made_folder
from adrpo_jax.system.fingerprint import fingerprint
from adrpo_jax.types import ALL_ROWS, OwnRows, PyTree


def make_sd3_generator(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """Stable Diffusion 3 or 3.5, from a folder in the layout of diffusers."""
  if not config.model.path:
    raise InputError(
      'Expected --config.model.path, a folder of Stable Diffusion 3 in the '
      'layout of diffusers, gs:// or an id on the Hub; got none.'
    )
  return _sd3_in(
    local_folder(config.model.path, opened_files.SD3), config, mesh
  )


def make_sd3_tiny_generator(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """A small random SD3 in the layout of diffusers, with a CLIP pair, cached."""
  folder = made_folder(cache_folder() / 'sd3_tiny', sd3_tiny.write)
  made_folder(cache_folder() / 'clip_tiny', clip_tiny.write)
  return _sd3_in(folder, config, mesh)


def make_abstract_sd3(config: ConfigDict, mesh: jax.sharding.Mesh) -> Generator:
  """SD3 with shapes for weights, of the config's path or a released model."""
  if config.model.path:
    model = sd3_folder.read(
      local_folder(config.model.path, opened_files.SD3_CONFIGS)
    )
  else:
    model = lookup(sd3_folder.ARCHITECTURES, config.model.architecture, 'model')
  place, size = shard(mesh), _latent_size(config, model)
  dtype = jnp.dtype(config.model.dtype)
  length = text_conditions.CLIP_LENGTH + config.model.t5_length
  states = length, model.transformer.joint_attention_dim
  null = jax.eval_shape(
    lambda: Condition(
      jnp.zeros(states, dtype),
      jnp.zeros(model.transformer.pooled_projection_dim, dtype),
    )
  )
  transformer = with_dtype(
    sd3_folder.transformer_shapes(model.transformer, size),
    config.model.param_dtype,
  )
  return make_flow_generator(
    config,
    mesh,
    _functions(config, mesh, model),
    encode=refuse_prompts,
    frozen={
      'reference': place(transformer),
      'autoencoder': replicate(mesh)(
        sd3_folder.autoencoder_shapes(model.autoencoder)
      ),
      'null_condition': null,
    },
    identity='',
  )


def _sd3_in(
  folder: pathlib.Path, config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  model = sd3_folder.read(folder)
  text_conditions.check_towers(folder, model.transformer)
  place, size = shard(mesh), _latent_size(config, model)
  compute, length = make_compute(config, mesh), config.model.t5_length
  parts = [*folder.glob('text_encoder*'), *folder.glob('tokenizer*')]
  if not has_t5(folder):
    parts = [part for part in parts if not part.name.endswith('_3')]
  name = fingerprint(
    sorted(parts), length, jnp.dtype(compute.dtype).name, 'with checksums'
  )
  cached = PromptCache(
    cache_folder() / 'prompts' / name,
    lambda texts: text_conditions.encode_prompts(
      folder,
      texts,
      width=model.transformer.joint_attention_dim,
      t5_length=length,
      compute=Compute(compute.dtype, scan_layers=compute.scan_layers),
      with_shardings=place,
    ),
  )

  def encode(prompts: PromptSet) -> Rows:
    conditions = cached(prompts.texts)

    def rows(ids: np.ndarray, own: OwnRows = ALL_ROWS) -> PyTree:
      return conditions(ids[own])

    return rows

  # First: the encoders are gone before the rest comes.
  null = null_condition(encode)
  dtype = jnp.dtype(config.model.param_dtype)
  return make_flow_generator(
    config,
    mesh,
    _functions(config, mesh, model),
    encode=encode,
    frozen={
      'reference': sd3_folder.load_transformer(model, size, dtype, place),
      'autoencoder': sd3_folder.load_autoencoder(
        model, jnp.float32, replicate(mesh)
      ),
      'null_condition': null,
    },
    identity=fingerprint([folder / 'transformer', folder / 'vae']),
  )


def _functions(
  config: ConfigDict, mesh: jax.sharding.Mesh, model: sd3_folder.Sd3Folder
) -> FlowModel:
  return FlowModel(
    velocity=MMDiT(model.transformer, make_compute(config, mesh)).apply,
    decode=make_decoder(model.autoencoder, config),
    grid=noise_levels.sd3_sigmas,
    latent_shape=(
      *_latent_size(config, model),
      model.transformer.in_channels,
    ),
    config=model.transformer,
    shift=model.shift,
    positions=lambda: sd3_folder.read_position_table(model),
  )


def _latent_size(
  config: ConfigDict, model: sd3_folder.Sd3Folder
) -> tuple[int, int]:
  patch = model.autoencoder.downsampling * model.transformer.patch_size
  edge = config.model.resolution
  if edge < patch or edge % patch:
    raise InputError(
      f'Expected --config.model.resolution to be a multiple of {patch}, got '
      f'{edge}.'
    )
  latent_edge = edge // model.autoencoder.downsampling
  return latent_edge, latent_edge
