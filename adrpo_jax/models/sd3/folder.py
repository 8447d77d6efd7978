"""Reads folders of Stable Diffusion 3 and 3.5 in the layout of diffusers.

model_index.json               {"_class_name": "StableDiffusion3Pipeline", ...}
transformer/  vae/             config.json and diffusion_pytorch_model.*
scheduler/                     scheduler_config.json
text_encoder/ ... tokenizer/   see `text_conditions`
"""

from collections.abc import Callable
import pathlib
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.config_types import Between
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.config_files import (
  check_fields,
  config_from_fields,
  read_config,
  read_field,
)
from adrpo_jax.models.files.safetensors_trees import (
  stored_dtype_kind,
  with_dtype,
)
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.sd3 import weight_tables as sd3_tables
from adrpo_jax.models.sd3.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.sd3.export import POSITIONS
from adrpo_jax.models.sd3.folder_fields import check_folder
from adrpo_jax.models.sd3.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.types import PyTree

Shift = Annotated[float, Between(1e-3, 1e3)]
WithShardings = Callable[[PyTree], PyTree]


class Sd3Folder(NamedTuple):
  """The folder of a pipeline and its configs.

  shift: the scheduler's shift of noise levels, see `noise_levels.sd3_sigmas`.
  """

  path: pathlib.Path
  transformer: MMDiTConfig
  autoencoder: AutoencoderConfig
  shift: float


# Configs of released models, for programs that are compiled without weights.
_NO_FOLDER = pathlib.Path('/dev/null')
ARCHITECTURES = {
  'sd3_medium': Sd3Folder(_NO_FOLDER, MMDiTConfig(), AutoencoderConfig(), 3.0),
  'sd35_large': Sd3Folder(
    _NO_FOLDER,
    MMDiTConfig(num_layers=38, num_attention_heads=38, qk_norm=True),
    AutoencoderConfig(),
    3.0,
  ),
  'sd35_medium': Sd3Folder(
    _NO_FOLDER,
    MMDiTConfig(
      qk_norm=True,
      dual_attention_layers=tuple(range(13)),
      pos_embed_max_size=384,
    ),
    AutoencoderConfig(),
    3.0,
  ),
}


def read(folder: pathlib.Path) -> Sd3Folder:
  """Reads the configs of a folder.

  Raises:
    InputError: the pipeline is another one, or a config has values that this
      package does not implement. The message names the file and the field.
  """
  check_folder(folder)
  transformer = _transformer_config(folder / 'transformer' / 'config.json')
  path = folder / 'vae' / 'config.json'
  fields = read_config(path)
  autoencoder = config_from_fields(AutoencoderConfig, fields, path)
  check_fields(path, fields, latent_channels=transformer.in_channels)
  path = folder / 'scheduler' / 'scheduler_config.json'
  shift = read_field(read_config(path), 'shift', Shift, path)
  return Sd3Folder(folder, transformer, autoencoder, shift)


def transformer_shapes(config: MMDiTConfig, size: tuple[int, int]) -> PyTree:
  """The shapes of a transformer's {'params', 'constants'}, float32.

  `size` is the height and width of the latents. The parameters do not depend on
  it; the position table, which is not trained, is cropped to it.
  """
  inputs = (
    jnp.zeros((1, *size, config.in_channels)),
    jnp.zeros(1),
    Condition(
      jnp.zeros((1, 1, config.joint_attention_dim)),
      jnp.zeros((1, config.pooled_projection_dim)),
    ),
  )
  shapes = jax.eval_shape(MMDiT(config).init, jax.random.key(0), *inputs)
  patches = [edge // config.patch_size for edge in size]
  table = jax.ShapeDtypeStruct(
    (patches[0] * patches[1], config.width), jnp.float32
  )
  return shapes | {'constants': {'position_table': table}}


def load_transformer(
  model: Sd3Folder,
  size: tuple[int, int],
  dtype: Any,
  with_shardings: WithShardings,
) -> PyTree:
  """Loads the transformer's parameters and constants.

  Args:
    model: see `read`.
    size: height and width of the latents.
    dtype: the dtype of the parameters; the position table stays float32.
    with_shardings: returns a tree of shapes with their shardings.

  Raises:
    InputError: see `weight_table.load`; or the latents are larger than the
      position table.
  """
  config = model.transformer
  largest = config.pos_embed_max_size
  rows, columns = (edge // config.patch_size for edge in size)
  if max(rows, columns) > largest:
    raise InputError(
      f'Expected images of at most {largest} patches along an edge, which is '
      f'what the position table of {model.path} has, got {rows} × {columns}.'
    )
  shapes = with_shardings(with_dtype(transformer_shapes(config, size), dtype))
  table = read_position_table(model).reshape(largest, largest, config.width)
  with tensor_files(model.path / 'transformer') as files:
    params = weight_table.load(
      files,
      sd3_tables.transformer_rows(config.patch_size),
      {'params': shapes['params']},
      f'^{POSITIONS}$',
    )
  top, left = (largest - rows) // 2, (largest - columns) // 2
  crop = table[top : top + rows, left : left + columns]
  crop = crop.reshape(-1, config.width).astype(jnp.float32)
  sharding = getattr(shapes['constants']['position_table'], 'sharding', None)
  array = (
    jnp.asarray(crop) if sharding is None else jax.device_put(crop, sharding)
  )
  return params | {'constants': {'position_table': array}}


def read_position_table(model: Sd3Folder) -> np.ndarray:
  """Reads the uncropped position table of a file, [1, M², D]."""
  config = model.transformer
  expected = 1, config.pos_embed_max_size**2, config.width
  with tensor_files(model.path / 'transformer') as files:
    shape = files.shapes.get(POSITIONS)
    if shape != expected:
      raise InputError(
        f'Expected {POSITIONS} {list(expected)} in {files.where}, got '
        f'{shape and list(shape)}.'
      )
    if stored_dtype_kind(files.dtypes[POSITIONS]) != 'float':
      raise InputError(
        f'Expected floats as {POSITIONS} in {files.where}, got '
        f'{files.dtypes[POSITIONS]}.'
      )
    return files.read(POSITIONS)


def autoencoder_shapes(config: AutoencoderConfig) -> PyTree:
  """The shapes of an autoencoder's parameters, float32."""
  edge = config.downsampling
  image = jnp.zeros((1, edge, edge, config.in_channels))
  key = jax.random.key(0)
  return jax.eval_shape(Autoencoder(config).init, key, image, key)


def load_autoencoder(
  model: Sd3Folder, dtype: Any, with_shardings: WithShardings
) -> PyTree:
  """Loads the autoencoder's parameters; see `load_transformer`."""
  shapes = with_shardings(
    with_dtype(autoencoder_shapes(model.autoencoder), dtype)
  )
  with tensor_files(model.path / 'vae') as files:
    return weight_table.load(files, sd3_tables.autoencoder_rows(), shapes)


def _transformer_config(path: pathlib.Path) -> MMDiTConfig:
  fields = read_config(path)
  # Files from before version 3.5 have neither of these.
  config = config_from_fields(
    MMDiTConfig,
    fields
    | {
      'qk_norm': fields.get('qk_norm') is not None,
      'dual_attention_layers': fields.get('dual_attention_layers') or (),
    },
    path,
  )
  check_fields(
    path,
    fields,
    caption_projection_dim=config.width,
    out_channels=(config.in_channels, None),
  )
  return config
