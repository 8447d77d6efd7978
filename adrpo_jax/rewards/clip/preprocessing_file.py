"""Checks that a folder asks for the preprocessing of `preprocess`.

preprocessor_config.json   of transformers' `CLIPImageProcessor`
processor_config.json      the same, below "image_processor", of newer versions

Each field has a value that this package computes with, says nothing about
pixels, or is refused. A field that is missing or null has its usual value.
"""

from collections.abc import Callable
import pathlib
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.config_files import read_config, shown
from adrpo_jax.rewards.clip.preprocess import MEAN, STD

KINDS = ('CLIPImageProcessor', 'CLIPImageProcessorFast', 'CLIPFeatureExtractor')
# Fields that say who wrote a file, or how arrays are laid out and grouped.
SILENT = {
  '_processor_class',
  '_valid_processor_keys',
  'data_format',
  'device',
  'disable_grouping',
  'do_convert_rgb',  # Images are RGB before they come here.
  'input_data_format',
  'processor_class',
  'return_tensors',
  'transformers_version',
  'use_fast',
}


class Field(NamedTuple):
  """The values of a field that are obeyed: as text, and (value, S) -> bool.

  S is the edge of the images that the tower takes.
  """

  expected: str
  holds: Callable[[Any, int], bool]


def check_preprocessing(folder: pathlib.Path, size: int) -> None:
  """Checks the files of a folder, which may be absent.

  Args:
    folder: of a CLIP pair.
    size: S, of the images that its vision tower takes.

  Raises:
    InputError: a field asks for pixels that `preprocess` does not make.
  """
  path = folder / 'preprocessor_config.json'
  if path.is_file():
    _check(path, read_config(path), size)
  path = folder / 'processor_config.json'
  fields = read_config(path).get('image_processor') if path.is_file() else None
  if isinstance(fields, dict):
    _check(path, fields, size)


def _check(path: pathlib.Path, fields: dict[str, Any], size: int) -> None:
  for name, value in fields.items():
    if name in SILENT or value is None:
      continue
    field = FIELDS.get(name, Field('nothing', lambda value, size: False))
    if not field.holds(value, size):
      raise InputError(
        f'Expected {name} = {field.expected.format(size=size)} in {path}, got '
        f'{shown(value)}: images for this tower need a preprocessing that is '
        'not implemented.'
      )


def _is(wanted: bool) -> Field:
  return Field(str(wanted).lower(), lambda value, size: value is wanted)


def _near(*wanted: float) -> Callable[[Any, int], bool]:
  def holds(value: Any, size: int) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return (
      len(numbers) == len(wanted)
      and all(type(n) in (int, float) for n in numbers)
      and np.allclose(numbers, wanted, rtol=1e-5, atol=1e-6)
    )

  return holds


def _edges(*names: str) -> Callable[[Any, int], bool]:
  """An edge of S pixels, as a number or as an object of these names."""
  return lambda value, size: (
    value == dict.fromkeys(names, size)
    or (type(value) is int and value == size)
  )


_KIND = Field(' or '.join(KINDS), lambda value, size: value in KINDS)
FIELDS = {
  'crop_size': Field(
    '{size} along both edges, which the tower takes', _edges('height', 'width')
  ),
  'default_to_square': _is(False),
  'do_center_crop': _is(True),
  'do_normalize': _is(True),
  'do_pad': _is(False),
  'do_rescale': _is(True),
  'do_resize': _is(True),
  'feature_extractor_type': _KIND,
  'image_mean': Field(str(list(MEAN)), _near(*MEAN)),
  'image_processor_type': _KIND,
  'image_std': Field(str(list(STD)), _near(*STD)),
  'resample': Field('3, bicubic', _near(3)),
  'rescale_factor': Field('1/255', _near(1 / 255)),
  'size': Field(
    '{size} along the shortest edge, which the tower takes',
    _edges('shortest_edge'),
  ),
}
