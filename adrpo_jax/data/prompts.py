"""Prompts from a .txt, a .jsonl or a tfds set, and their order in a run.

prompts.txt          one prompt a line
prompts.jsonl        {"prompt": "...", "category": "..."} a line; the category
                     may be left out, other keys are not read
tfds:NAME[:SPLIT]    any tensorflow_datasets set with a text feature, stored as
                     ArrayRecord; SPLIT is 'train' if not given. TensorFlow is
                     not needed
"""

from collections.abc import Iterator, Mapping
import dataclasses
import functools
import importlib
import json
import pathlib
import re
from typing import Any

import numpy as np

from adrpo_jax.errors import InputError

# tfds sets of our own: importing the module makes tfds know them by name.
_OWN_SETS = {'adrpo_shapes': 'adrpo_jax.worlds.shapes_tfds'}


@dataclasses.dataclass(frozen=True)
class PromptSet:
  """Prompts by their id, which is their place in `texts`.

  Attributes:
    texts: the prompts.
    categories: of each prompt, '' where it has none.
  """

  texts: tuple[str, ...]
  categories: tuple[str, ...]

  def __post_init__(self):
    if not self.texts or len(self.texts) != len(self.categories):
      raise ValueError(
        'Expected at least one prompt, and a category for each, got '
        f'{len(self.texts)} prompts and {len(self.categories)} categories.'
      )

  def __len__(self) -> int:
    return len(self.texts)


def load(
  source: str,
  *,
  data_dir: str | None = None,
  text_feature: str = 'prompt',
  category_feature: str = 'category',
) -> PromptSet:
  """Reads all prompts of a source, in its own order.

  Args:
    source: a path that ends in .txt or .jsonl, or 'tfds:NAME[:SPLIT]'.
    data_dir: of tfds; its default (~/tensorflow_datasets) if None.
    text_feature: the tfds feature, or the key of a JSON object, to read.
    category_feature: the same for categories; optional in the data.

  Raises:
    InputError: whatever is wrong, with the file and the line.
  """
  if source.startswith('tfds:'):
    rows = _tfds_rows(source, data_dir, text_feature, category_feature)
    unit = 'example'
  elif source.endswith('.txt'):
    rows = ((number, line, '') for number, line in _lines(source))
    unit = 'line'
  elif source.endswith('.jsonl'):
    rows = _json_rows(source, text_feature, category_feature)
    unit = 'line'
  else:
    raise InputError(
      f'Expected a prompt source that ends in .txt or .jsonl, or '
      f"'tfds:NAME[:SPLIT]', got {source!r}."
    )
  texts, categories = [], []
  for number, text, category in rows:
    if not text.strip():
      raise InputError(
        f'{source}, {unit} {number}: the prompt is empty. Expected some text; '
        f'write it or take the {unit} out.'
      )
    texts.append(text.strip())
    categories.append(category)
  if not texts:
    raise InputError(f'{source}: expected at least one prompt, got none.')
  return PromptSet(tuple(texts), tuple(categories))


def indices(
  num_prompts: int, per_step: int, step: int, seed: int
) -> np.ndarray:
  """The prompt ids of a step: a pure function, so there is no state to resume.

  Step s takes places s·per_step to (s+1)·per_step − 1 of an endless row of
  permutations of all prompts, each epoch another one. So no prompt comes twice
  in an epoch, and every host and every restart sees the same order; it does not
  depend on the versions of numpy or jax either.

  Args:
    num_prompts: how many there are, at least 1.
    per_step: P.
    step: from 0.
    seed: of the run, not negative.

  Returns:
    [P] int64 in [0, num_prompts).
  """
  if num_prompts < 1 or per_step < 1 or step < 0 or seed < 0:
    raise ValueError(
      'Expected num_prompts ≥ 1, per_step ≥ 1, step ≥ 0 and seed ≥ 0, got '
      f'{num_prompts}, {per_step}, {step} and {seed}.'
    )
  places = np.arange(step * per_step, (step + 1) * per_step)
  epochs, within = np.divmod(places, num_prompts)
  ids = np.empty(per_step, np.int64)
  for epoch in np.unique(epochs):
    here = epochs == epoch
    ids[here] = _permutation(num_prompts, seed, int(epoch))[within[here]]
  return ids


@functools.lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int) -> np.ndarray:
  """By sorting raw bits: their stream is fixed, `permutation`'s is not."""
  bits = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(
    size
  )
  return np.argsort(bits, kind='stable')


def _lines(path: str) -> Iterator[tuple[int, str]]:
  """(number from 1, line) of a UTF-8 file, without empty lines at its end."""
  try:
    raw = pathlib.Path(path).read_bytes()
  except OSError as error:
    raise InputError(
      f'{path}: expected a readable file of prompts, got: {error.strerror}.'
    ) from error
  try:
    text = raw.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    line = raw.count(b'\n', 0, error.start) + 1
    raise InputError(
      f'{path}, line {line}: expected UTF-8, got the byte '
      f'0x{raw[error.start]:02x}. Save the file as UTF-8.'
    ) from error
  if '\0' in text:
    line = text.count('\n', 0, text.index('\0')) + 1
    raise InputError(
      f'{path}, line {line}: expected text, got a zero byte. Save the file as '
      'UTF-8; it looks like UTF-16 or like no text at all.'
    )
  lines = text.rstrip().split('\n') if text.strip() else []
  yield from enumerate(lines, 1)


def _json_rows(
  path: str, text_key: str, category_key: str
) -> Iterator[tuple[int, str, str]]:
  expected = f'expected {{"{text_key}": "...", "{category_key}": "..."}}'
  for number, line in _lines(path):
    where = f'{path}, line {number}: {expected}'
    try:
      row = json.loads(line)
    except json.JSONDecodeError as error:
      raise InputError(
        f'{where}, got malformed JSON ({error.msg} at column {error.colno}).'
      ) from error
    if not isinstance(row, dict):
      raise InputError(f'{where}, got {line.strip()[:60]!r}.')
    if text_key not in row:
      raise InputError(f'{where}, got the keys {sorted(row)}.')
    category = row.get(category_key, '')
    for key, value in ((text_key, row[text_key]), (category_key, category)):
      if not isinstance(value, str):
        raise InputError(
          f'{where}, got {value!r} as {key!r}, which is no text.'
        )
    yield number, row[text_key], category


def _tfds_rows(
  source: str, data_dir: str | None, text_feature: str, category_feature: str
) -> Iterator[tuple[int, str, str]]:
  name, split = _name_and_split(source)
  builder = _prepared(name, split, data_dir)
  features = dict(builder.info.features.items())
  if text_feature not in features:
    raise InputError(
      f'{source}: expected a text feature {text_feature!r}, got the features '
      f'{sorted(features)}. Name the one that holds the prompts.'
    )
  label = getattr(features.get(category_feature), 'int2str', _as_text)
  decoders = _only(features, {text_feature, category_feature})
  examples = builder.as_data_source(split, decoders=decoders)
  for number in range(len(examples)):
    example: Mapping[str, Any] = examples[number]
    text = example[text_feature]
    if not isinstance(text, bytes):
      raise InputError(
        f'{source}: expected text in the feature {text_feature!r}, got '
        f'{type(text).__name__}.'
      )
    yield number, text.decode(), label(example.get(category_feature, b''))


def _as_text(value: Any) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)


def _name_and_split(source: str) -> tuple[str, str]:
  """'tfds:NAME[/CONFIG][:VERSION][:SPLIT]' -> (name as tfds has it, split)."""
  match = re.fullmatch(r'tfds:([^:]+(?::\d+\.\d+\.\d+)?)(?::(.+))?', source)
  if match is None:
    raise InputError(f"Expected 'tfds:NAME[:SPLIT]', got {source!r}.")
  return match[1], match[2] or 'train'


def _only(features: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
  """Decoders that leave all other features alone: images need TensorFlow."""
  import tensorflow_datasets as tfds

  nested = (tfds.features.FeaturesDict, tfds.features.Sequence)
  return {
    name: tfds.decode.SkipDecoding()
    for name, feature in features.items()
    if name not in wanted and not isinstance(feature, nested)
  }


def _prepared(name: str, split: str, data_dir: str | None):
  """The builder of a set that is on disk; made or downloaded if it is not."""
  import tensorflow_datasets as tfds

  if module := _OWN_SETS.get(re.split('[/:]', name)[0]):
    importlib.import_module(module)
  try:
    builder = tfds.builder(name, data_dir=data_dir, file_format='array_record')
    builder.download_and_prepare()
  except Exception as error:  # tfds raises many kinds; all mean: not to be had.
    raise InputError(
      f'tfds:{name}: the set could not be had as ArrayRecord. tfds says: '
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
