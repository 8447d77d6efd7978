"""Fields of a pipeline's configs for which this package has one computation.

file -> field -> the values that stand for this computation. A field with
another value makes diffusers compute something else, so that the folder is
refused. Fields that set sizes or choose among formulas are in the types of the
configs, see `models.config_types`.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.config_files import check_fields, read_config

INDEX = 'model_index.json'
PIPELINE = 'StableDiffusion3Pipeline'
OFF = (False, None)

# The classes of the parts, which the index names.
CLASSES = {
  'scheduler': ('FlowMatchEulerDiscreteScheduler',),
  'transformer': ('SD3Transformer2DModel',),
  'vae': ('AutoencoderKL',),
  'text_encoder': ('CLIPTextModelWithProjection',),
  'text_encoder_2': ('CLIPTextModelWithProjection',),
  'text_encoder_3': ('T5EncoderModel', None),
}
FIELDS: dict[str, dict[str, tuple[Any, ...]]] = {
  'scheduler/scheduler_config.json': {
    '_class_name': CLASSES['scheduler'],
    'num_train_timesteps': (1000,),
    'use_dynamic_shifting': OFF,
    'use_karras_sigmas': OFF,
    'use_exponential_sigmas': OFF,
    'use_beta_sigmas': OFF,
    'invert_sigmas': OFF,
    'stochastic_sampling': OFF,
    'shift_terminal': OFF,
  },
  'transformer/config.json': {
    '_class_name': CLASSES['transformer'],
    'qk_norm': ('rms_norm', None),  # files before version 3.5 have none
  },
  'vae/config.json': {
    '_class_name': CLASSES['vae'],
    'act_fn': ('silu', 'swish'),
    'down_block_types': ('DownEncoderBlock2D',),
    'up_block_types': ('UpDecoderBlock2D',),
    'use_quant_conv': OFF,
    'use_post_quant_conv': OFF,
    'mid_block_add_attention': (True,),
    'in_channels': (3,),
    'out_channels': (3,),
  },
  'text_encoder_3/config.json': {  # a T5 of version 1.1
    'feed_forward_proj': ('gated-gelu',),
    'dense_act_fn': ('gelu_new',),
    'is_gated_act': (True,),
    'is_decoder': OFF,
  },
  'tokenizer/tokenizer_config.json': {'model_max_length': (77,)},
}
# What a library takes for a field that is missing, where it is another value.
DEFAULTS = {'text_encoder_3/config.json': {'feed_forward_proj': 'relu'}}


def check_folder(folder: pathlib.Path) -> None:
  """Checks the files of a pipeline that are there against `FIELDS`.

  Raises:
    InputError: the pipeline is another one, or a field has another value. The
      message names the file and the field.
  """
  pipeline = read_config(folder / INDEX).get('_class_name')
  if pipeline != PIPELINE:
    raise InputError(
      f'Expected a {PIPELINE} in {folder / INDEX}, got {pipeline}. Give '
      'the folder of Stable Diffusion 3 or 3.5, in the layout of diffusers.'
    )
  check_fields(folder / INDEX, _classes(folder), **CLASSES)
  for file, expected in FIELDS.items():
    if (folder / file).is_file():
      fields = DEFAULTS.get(file, {}) | read_config(folder / file)
      check_fields(folder / file, fields, **expected)


def has_t5(folder: pathlib.Path) -> bool:
  """Says if a pipeline has a T5; without one its states are zeros.

  Raises:
    InputError: the index names one that is not in the folder.
  """
  there = (folder / 'text_encoder_3').is_dir()
  if not there and _classes(folder).get('text_encoder_3'):
    raise InputError(
      f'Expected a folder text_encoder_3 in {folder}, which {INDEX} names, '
      'found none. Add it, or write "text_encoder_3": [null, null] there for a '
      'pipeline without T5.'
    )
  return there and _classes(folder).get('text_encoder_3', '') is not None


def _classes(folder: pathlib.Path) -> Mapping[str, Any]:
  """Part -> its class, of the parts that the index names."""
  index = read_config(folder / INDEX)
  return {
    part: named[-1] if isinstance(named, list) and named else named
    for part, named in index.items()
    if part in CLASSES
  }
