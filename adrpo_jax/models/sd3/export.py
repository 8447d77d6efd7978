"""Exports a transformer as a folder that diffusers can load.

transformer/config.json                           SD3Transformer2DModel
transformer/diffusion_pytorch_model.safetensors
"""

import dataclasses
import pathlib

import numpy as np

from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.config_files import write_json
from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.models.sd3 import weight_tables as sd3_tables
from adrpo_jax.models.sd3.mmdit import MMDiTConfig, position_table
from adrpo_jax.types import PyTree

POSITIONS = 'pos_embed.pos_embed'


def diffusers_config(config: MMDiTConfig) -> dict[str, object]:
  """Returns the fields of the config.json of `SD3Transformer2DModel`."""
  fields = dataclasses.asdict(config)
  return fields | {
    '_class_name': 'SD3Transformer2DModel',
    'qk_norm': 'rms_norm' if config.qk_norm else None,
    'dual_attention_layers': list(config.dual_attention_layers),
    'out_channels': config.in_channels,
    'caption_projection_dim': config.width,
  }


def save_transformer(
  folder: pathlib.Path,
  config: MMDiTConfig,
  params: PyTree,
  positions: np.ndarray | None = None,
) -> pathlib.Path:
  """Writes folder/transformer, for `SD3Transformer2DModel.from_pretrained`.

  Args:
    folder: the folder of the pipeline.
    config: the sizes of the transformer.
    params: {'params': ...} in any float dtype, in which they are saved.
    positions: [1, M², D], the uncropped position table of the checkpoint that
      the model comes from; None computes the table.

  Returns:
    The path of the weights.
  """
  target = folder / 'transformer'
  target.mkdir(parents=True, exist_ok=True)
  rows = sd3_tables.transformer_rows(config.patch_size)
  tensors = weight_table.to_hf(rows, {'params': params['params']})
  if positions is None:
    size = config.pos_embed_max_size
    positions = position_table(config, size, size)[None]
  path = target / 'diffusion_pytorch_model.safetensors'
  save_tree(path, tensors | {POSITIONS: positions}, {'format': 'pt'})
  write_json(target / 'config.json', diffusers_config(config))
  return path
