"""Prompts of any tensorflow_datasets set with a text feature.

tfds:NAME[/CONFIG][:VERSION][:SPLIT], stored as ArrayRecord; SPLIT is 'train' by
default. TensorFlow is not needed. A sound is a feature of 16-bit samples beside
one that is called sampling_rate, since `tfds.features.Audio` needs TensorFlow;
its name is SOURCE#NUMBER.
"""

from collections.abc import Iterator, Mapping
import functools
import importlib
import re
from typing import Any

import numpy as np

from adrpo_jax.data.choices import options_and_answer
from adrpo_jax.data.columns import (
  DEFAULT_NAMES,
  TEXT_SETTING,
  ColumnNames,
  first_of,
)
from adrpo_jax.data.json_fields import Number, field_text
from adrpo_jax.data.readers import PromptRow
from adrpo_jax.errors import InputError

RATE = 'sampling_rate'
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
  audio_feature = first_of(names.audio, features)
  choices_feature = first_of(names.choices, features) or ''
  wanted = {text_feature, label_feature, answer_feature, choices_feature}
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
    where = f'{source}, example {number}'
    answer = _answer(example.get(answer_feature), where)
    choices = example.get(choices_feature)
    if choices is not None:
      choices, answer = _question(choices, answer, where)
    yield PromptRow(
      number,
      text.decode(),
      label(example.get(label_feature, b'')),
      answer,
      tuple(features),
      f'{source}#{number}' if audio_feature else None,
      choices,
    )


def sound(name: str, data_dir: str | None = None) -> tuple[np.ndarray, int]:
  """Reads the sound SOURCE#NUMBER: (samples float32 [samples], rate).

  Raises:
    InputError: there is no such example, or no samples of 16 bit in it.
  """
  source, _, number = name.rpartition('#')
  examples, feature = _sounds(source, data_dir)
  try:
    example = examples[int(number)]
    samples = np.asarray(example[feature])
    rate = int(example[RATE])
  except (IndexError, KeyError, ValueError) as error:
    raise InputError(
      f'{name}: expected an example with a sound and its {RATE}, got '
      f'{type(error).__name__}: {str(error)[:100]}.'
    ) from error
  if samples.dtype != np.int16 or samples.ndim != 1:
    raise InputError(
      f'{name}: expected samples int16 [samples], got {samples.dtype} '
      f'{list(samples.shape)}.'
    )
  return samples.astype(np.float32) / 2**15, rate


@functools.lru_cache(maxsize=8)
def _sounds(source: str, data_dir: str | None) -> tuple[Any, str]:
  """The examples of a source, of which only sounds are decoded."""
  name, split = _name_and_split(source)
  builder = _prepared(name, split, data_dir)
  features = dict(builder.info.features.items())
  feature = first_of(DEFAULT_NAMES.audio, features) or ''
  decoders = _only(features, {feature, RATE})
  return builder.as_data_source(split, decoders=decoders), feature


def _question(
  choices: Any, answer: str | None, where: str
) -> tuple[tuple[str, ...], str | None]:
  """(options, right answer), see `choices.options_and_answer`."""
  listed = [_as_text(choice) for choice in np.ravel(choices).tolist()]
  try:
    return options_and_answer(listed, answer)
  except ValueError as error:
    raise InputError(f'{where}: {error}') from error


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
  """The text of bytes; that of a number is a `Number`."""
  if isinstance(value, bytes):
    return value.decode()
  number = isinstance(value, int | float | np.number)
  return Number(value) if number else str(value)


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
