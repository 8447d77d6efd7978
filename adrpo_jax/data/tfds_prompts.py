"""Prompts of any tensorflow_datasets set with a text feature.

tfds:NAME[/CONFIG][:VERSION][:SPLIT], stored as ArrayRecord; SPLIT is 'train' by
default. TensorFlow is not needed.
"""

from collections.abc import Iterator, Mapping
import importlib
import re
from typing import Any

import numpy as np

from adrpo_jax.data.json_fields import field_text
from adrpo_jax.data.readers import (
  TEXT_SETTING,
  ColumnNames,
  PromptRow,
  first_of,
)
from adrpo_jax.errors import InputError

# tfds sets of this package: importing the module registers them by name.
_OWN_SETS = {'adrpo_shapes': 'adrpo_jax.worlds.shapes_tfds'}


def rows(
  source: str, data_dir: str | None, names: ColumnNames
) -> Iterator[PromptRow]:
  """The examples of a source as (number from 0, text, category, answer).

  Raises:
    InputError: no such set or split, or no text in the feature.
  """
  name, split = _name_and_split(source)
  builder = _prepared(name, split, data_dir)
  features = dict(builder.info.features.items())
  text_feature = first_of(names.text, features)
  if text_feature is None:
    raise InputError(
      f'{source}: expected a text feature {" or ".join(names.text)}, got the '
      f'features {sorted(features)}. {TEXT_SETTING}FEATURE'
    )
  label_feature = first_of(names.category, features) or ''
  label = getattr(features.get(label_feature), 'int2str', _as_text)
  answer_feature = first_of(names.answer, features) or ''
  wanted = {text_feature, label_feature, answer_feature}
  decoders = _only(features, wanted)
  examples = builder.as_data_source(split, decoders=decoders)
  for number in range(len(examples)):
    example: Mapping[str, Any] = examples[number]
    text = example[text_feature]
    if not isinstance(text, bytes):
      raise InputError(
        f'{source}: expected text in the feature {text_feature!r}, got '
        f'{type(text).__name__}.'
      )
    yield PromptRow(
      number,
      text.decode(),
      label(example.get(label_feature, b'')),
      _answer(example.get(answer_feature), f'{source}, example {number}'),
      tuple(features),
    )


def _answer(value: Any, where: str) -> str | None:
  """The text of a feature; that of its element where it is a list of one."""
  many = isinstance(value, list | np.ndarray)
  parts = list(value) if many else [value]
  try:
    return field_text([None if p is None else _as_text(p) for p in parts])
  except ValueError as error:
    raise InputError(
      f'{where}: {error} as answer. Expected one text.'
    ) from error


def _as_text(value: Any) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)


def _name_and_split(source: str) -> tuple[str, str]:
  """'tfds:NAME[/CONFIG][:VERSION][:SPLIT]' -> (name as tfds has it, split)."""
  match = re.fullmatch(r'tfds:([^:]+(?::\d+\.\d+\.\d+)?)(?::(.+))?', source)
  if match is None:
    raise InputError(f"Expected 'tfds:NAME[:SPLIT]', got {source!r}.")
  return match[1], match[2] or 'train'


def _only(features: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
  """Decoders that skip all other features, since images need TensorFlow."""
  import tensorflow_datasets as tfds

  nested = (tfds.features.FeaturesDict, tfds.features.Sequence)
  return {
    name: tfds.decode.SkipDecoding()
    for name, feature in features.items()
    if name not in wanted and not isinstance(feature, nested)
  }


def _prepared(name: str, split: str, data_dir: str | None):
  """The builder of a set, which is downloaded or generated if not on disk."""
  import tensorflow_datasets as tfds

  if module := _OWN_SETS.get(re.split('[/:]', name)[0]):
    importlib.import_module(module)
  try:
    builder = tfds.builder(name, data_dir=data_dir, file_format='array_record')
    builder.download_and_prepare()
  except Exception as error:  # tfds raises many kinds for a set it lacks.
    raise InputError(
      f'tfds:{name}: expected a set stored as ArrayRecord. tfds says: '
      f'{str(error).strip().splitlines()[0] if str(error) else error!r}. Check '
      'the name, or prepare it once with '
      f"tfds.builder({name!r}, file_format='array_record')"
      '.download_and_prepare() and give its data_dir.'
    ) from error
  if split.split('[')[0] not in builder.info.splits:
    raise InputError(
      f'tfds:{name}: expected a split of {sorted(builder.info.splits)}, got '
      f'{split!r}.'
    )
  return builder
