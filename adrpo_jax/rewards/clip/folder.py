"""A folder that holds a CLIP pair in the layout of transformers.

config.json                      of a `CLIPModel`, or of a vision tower alone
model.safetensors                the weights, which may be elsewhere
preprocessor_config.json         optional, see `preprocessing_file`
vocab.json, merges.txt ...       the tokenizer
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any, NamedTuple

from adrpo_jax.errors import InputError
from adrpo_jax.models.clip.towers import ClipTextConfig, ClipVisionConfig
from adrpo_jax.models.files import opened_files
from adrpo_jax.models.files.config_files import (
  config_from_fields,
  read_config,
  shown,
)
from adrpo_jax.models.files.hub import local_folder
from adrpo_jax.rewards.clip.preprocessing_file import check_preprocessing

# transformers omits these from a config.json: the sizes of CLIP ViT-B/32.
TEXT_DEFAULTS = ClipTextConfig(
  hidden_size=512,
  intermediate_size=2048,
  projection_dim=512,
  num_attention_heads=8,
  eos_token_id=49407,
)
VISION_DEFAULTS = ClipVisionConfig(
  hidden_size=768,
  intermediate_size=3072,
  projection_dim=512,
  num_hidden_layers=12,
  num_attention_heads=12,
  patch_size=32,
)


class Clip(NamedTuple):
  """The files of a CLIP pair, and its sizes.

  weights: the folder or file of the tensors
  base: the folder of configs and tokenizer
  """

  weights: pathlib.Path
  base: pathlib.Path
  text: ClipTextConfig
  vision: ClipVisionConfig


def read_clip(path: str, base: str = '') -> Clip:
  """Reads the configs of a pair, or of a vision tower alone.

  Args:
    path: of the weights: a folder, gs://..., the id of a repository on the
      Hub, or one .safetensors file.
    base: where config.json and the tokenizer are, if not beside the weights: a
      folder or an id too.

  Raises:
    InputError: no such folder, no config there, or a config of another model.
  """
  if not path:
    raise InputError(
      'Expected the path of a CLIP model, got none. Give its folder, a gs:// '
      'path or the id of a repository on the Hub, owner/name.'
    )
  file = pathlib.Path(path).expanduser()
  alone = file.suffix == '.safetensors'
  weights = file if alone else local_folder(path, opened_files.CLIP)
  folder = local_folder(base, opened_files.CLIP_BASE) if base else weights
  where = folder / 'config.json'
  if not where.is_file():
    raise InputError(
      f'Expected the config of a CLIP model at {where}, found none. Give a '
      "folder in the layout of transformers, here or as 'base'."
    )
  fields = read_config(where)
  kind = fields.get('model_type')
  if kind not in ('clip', 'clip_vision_model'):
    raise InputError(
      f"Expected model_type = 'clip' in {where}, got {shown(kind)}."
    )
  vision = _config(VISION_DEFAULTS, fields, 'vision_config', fields, where)
  check_preprocessing(folder, vision.image_size)
  return Clip(
    weights,
    folder,
    _config(TEXT_DEFAULTS, fields, 'text_config', {}, where),
    vision,
  )


def _config(
  defaults: Any,
  fields: Mapping[str, Any],
  tower: str,
  otherwise: Mapping[str, Any],
  where: pathlib.Path,
) -> Any:
  """Reads the config of a tower; `otherwise` has its fields if none is there.

  A pair has one width of embeddings.
  """
  own = fields.get(tower)
  own = otherwise if own is None else own
  if not isinstance(own, dict):
    raise InputError(
      f'Expected an object of fields as {tower} in {where}, got {shown(own)}.'
    )
  width = fields.get('projection_dim')
  return config_from_fields(
    type(defaults),
    {**own, 'projection_dim': 512 if width is None else width},
    where,
    dataclasses.asdict(defaults),
  )
