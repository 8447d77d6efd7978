"""Reads how a folder wants sounds turned into features.

processor_config.json      of newer transformers, below "feature_extractor"
preprocessor_config.json   with fields of images beside those of sounds

The first that is there counts. Each field of sounds is computed with, says
nothing about features, or is refused. A field that is missing or null has the
value that `WhisperFeatureExtractor` has without it.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.models.audio.log_mel import MelSettings
from adrpo_jax.models.files.config_files import (
  config_from_fields,
  read_config,
  shown,
)

KIND = 'WhisperFeatureExtractor'
DEFAULTS = {
  'feature_size': 80,
  'sampling_rate': 16000,
  'hop_length': 160,
  'n_fft': 400,
  'chunk_length': 30,
}
# The one value of a field that is implemented.
FIXED = {
  'feature_extractor_type': KIND,
  'dither': 0,
  'padding_side': 'right',
  'padding_value': 0,
}
# Fields that say who wrote a file, or what a call returns beside features.
SILENT = {
  '_processor_class',
  'processor_class',
  'return_attention_mask',
  'return_tensors',
  'transformers_version',
}
# Fields of the images and videos of the same file.
IMAGES = {
  '_valid_processor_keys',
  'crop_size',
  'data_format',
  'default_to_square',
  'device',
  'disable_grouping',
  'do_center_crop',
  'do_convert_rgb',
  'do_normalize',
  'do_pad',
  'do_rescale',
  'do_resize',
  'do_sample_frames',
  'fps',
  'input_data_format',
  'max_frames',
  'max_pixels',
  'merge_size',
  'min_frames',
  'min_pixels',
  'num_frames',
  'patch_size',
  'resample',
  'rescale_factor',
  'size',
  'size_divisor',
  'temporal_patch_size',
  'use_fast',
}


def read_mel_settings(folder: pathlib.Path) -> MelSettings:
  """Reads the settings of log-mel features from the folder of a model.

  Raises:
    InputError: neither file is there, or a field asks for features that are
      not implemented.
  """
  path, fields = _file(folder)
  known = {
    n: v for n, v in fields.items() if v is not None and not _of_images(n)
  }
  settings = config_from_fields(MelSettings, known, path, DEFAULTS)
  derived = {
    'n_samples': settings.longest,
    'nb_max_frames': settings.longest // settings.hop_length,
  }
  expected = FIXED | derived
  for name, value in known.items():
    if name in DEFAULTS or name in SILENT:
      continue
    if name not in expected:
      raise InputError(
        f'Expected in {path} fields of {KIND}, got {name} = {shown(value)}, '
        'which is not implemented. Remove it if it does not change features.'
      )
    if value != expected[name] or isinstance(value, bool):
      raise InputError(
        f'Expected {name} = {expected[name]!r} in {path}, got {shown(value)}: '
        'features of other kinds are not implemented.'
      )
  return settings


def _file(folder: pathlib.Path) -> tuple[pathlib.Path, Mapping[str, Any]]:
  path = folder / 'processor_config.json'
  nested = read_config(path).get('feature_extractor') if path.is_file() else {}
  if isinstance(nested, dict) and nested:
    return path, nested
  path = folder / 'preprocessor_config.json'
  return path, read_config(path)


def _of_images(name: str) -> bool:
  return name in IMAGES or name.startswith(('image_', 'video_'))
