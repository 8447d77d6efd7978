"""Sets of prompts from any source, and the order of prompts in a run.

tfds:NAME[:SPLIT]         a tensorflow_datasets set, see `tfds_prompts`
reasoning_gym:TASK[:COUNT[:SEED]]
                          questions of a task, see `reasoning_prompts`
instructions:SPLIT[:COUNT[:SEED]]
                          of a grammar, see `instruction_prompts`
*.txt *.jsonl *.json *.csv *.tsv
                          a file, on a disk or in a bucket, see `readers`
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools

import numpy as np

from adrpo_jax.data import (
  instruction_prompts,
  readers,
  reasoning_prompts,
  tfds_prompts,
)
from adrpo_jax.data.columns import DEFAULT_NAMES, column_names, first_of
from adrpo_jax.data.control_characters import warn_of_control_characters
from adrpo_jax.errors import InputError

# Columns that a config can name, and that a source can lack.
COLUMNS = {'answer': 'answers', 'choices': 'options'}


@dataclasses.dataclass(frozen=True)
class PromptSet:
  """Prompts by their id, which is their index in `texts`.

  Attributes:
    texts: the prompts.
    categories: the category of each prompt, '' where it has none.
    answers: the right answer to each prompt, None where the source has none.
    columns: the names of columns or keys that the source has.
    audio: the sound of each prompt, as `sound_files` names it; None for prompts
      without sounds.
    choices: the options of each question, () where it has none; None for
      prompts without options.
    lines: where each prompt stands in its source: its line from 1, or its
      example from 0; () if the prompts are of no source.
  """

  texts: tuple[str, ...]
  categories: tuple[str, ...]
  answers: tuple[str | None, ...] = ()
  columns: tuple[str, ...] = ()
  audio: tuple[str, ...] | None = None
  choices: tuple[tuple[str, ...], ...] | None = None
  lines: tuple[int, ...] = ()

  def __post_init__(self):
    if not self.answers:
      object.__setattr__(self, 'answers', (None,) * len(self.texts))
    counts = len(self.texts), len(self.categories), len(self.answers)
    others = (self.audio, self.choices, self.lines or None)
    counts += tuple(len(other) for other in others if other is not None)
    if not self.texts or len(set(counts)) > 1:
      raise ValueError(
        'Expected at least one prompt, and a category and an answer for each, '
        f'got {counts[0]} prompts, {counts[1]} categories and {counts[2]} '
        f'answers; of sounds, options and lines {list(counts[3:])}.'
      )

  def __len__(self) -> int:
    return len(self.texts)

  def take(self, ids: Sequence[int]) -> 'PromptSet':
    """The set of the prompts of some ids, in that order; ids may repeat."""
    return PromptSet(
      tuple(self.texts[i] for i in ids),
      tuple(self.categories[i] for i in ids),
      tuple(self.answers[i] for i in ids),
      self.columns,
      self.audio and tuple(self.audio[i] for i in ids),
      self.choices and tuple(self.choices[i] for i in ids),
      self.lines and tuple(self.lines[i] for i in ids),
    )


def load(
  source: str,
  *,
  data_dir: str | None = None,
  text_feature: str = '',
  category_feature: str = '',
  answer_feature: str | None = '',
  audio_feature: str | None = None,
  choices_feature: str | None = None,
  check: Callable[[str], object] = str,
) -> PromptSet:
  """Reads all prompts of a source, in its order.

  Args:
    source: a file whose name ends in .txt, .jsonl, .json, .csv or .tsv,
      'tfds:NAME[:SPLIT]', 'reasoning_gym:TASK[,TASK...][:COUNT[:SEED]]' or
      'instructions:SPLIT[:COUNT[:SEED]]'.
      gs:// and s3:// paths work where their client does.
    data_dir: of tfds; its default (~/tensorflow_datasets) if None.
    text_feature: the column, key or tfds feature of the prompts; '' takes the
      first of `columns.DEFAULT_NAMES` in the data.
    category_feature: that of categories, which are optional in the data.
    answer_feature: that of right answers, which are optional too. An empty
      answer is none; None reads no answers.
    audio_feature: that of sounds, which each prompt then has; None reads none.
    choices_feature: that of the options of questions, which a prompt may have;
      None reads none.
    check: raises a ValueError for a prompt that cannot be used.

  Raises:
    InputError: the source or a prompt is not usable; names file and line.
  """
  names = column_names(
    text_feature,
    category_feature,
    answer_feature,
    audio=audio_feature,
    choices=choices_feature,
  )
  unit = source_unit(source)
  if source.startswith('tfds:'):
    rows = tfds_prompts.rows(source, data_dir, names)
  elif source.startswith(reasoning_prompts.SCHEME):
    rows = reasoning_prompts.rows(source)
  elif source.startswith(instruction_prompts.SCHEME):
    rows = instruction_prompts.rows(source)
  else:
    rows = readers.reader(source)(source, names)
  checked: list[readers.PromptRow] = []
  for row in rows:
    number, text = row.number, row.text
    where = f'{source}, {unit} {number}'
    if not text.strip():
      raise InputError(
        f'{where}: the prompt is empty. Expected some text; write it or remove '
        f'the {unit}.'
      )
    for field in (text, row.category, row.answer or '', *(row.choices or ())):
      check_characters(where, field)
    if audio_feature is not None and row.audio is None:
      raise InputError(_without_sound(where, audio_feature, row.columns))
    try:
      check(text.strip())
    except ValueError as error:
      raise InputError(f'{where}: {error}') from error
    checked.append(row)
  if not checked:
    raise InputError(f'{source}: expected at least one prompt, got none.')
  columns = tuple(
    dict.fromkeys(name for row in checked for name in row.columns)
  )
  if not any(row.answer for row in checked):
    _check_named(source, answer_feature, columns, 'answer')
  if not any(row.choices for row in checked):
    _check_named(source, choices_feature, columns, 'choices')
  warn_of_control_characters(source, unit, checked)
  return PromptSet(
    tuple(row.text.strip() for row in checked),
    tuple(row.category.strip() for row in checked),
    tuple(
      row.answer if (row.answer or '').strip() else None for row in checked
    ),
    columns,
    None if audio_feature is None else tuple(r.audio or '' for r in checked),
    tuple(row.choices or () for row in checked)
    if any(row.choices for row in checked)
    else None,
    tuple(row.number for row in checked),
  )


def source_unit(source: str) -> str:
  """What `PromptSet.lines` counts: the lines of a source, or its examples."""
  by_example = ('tfds:', reasoning_prompts.SCHEME, instruction_prompts.SCHEME)
  return 'example' if source.startswith(by_example) else 'line'


def _check_named(
  source: str, feature: str | None, columns: Sequence[str], kind: str
) -> None:
  """Checks that a column that a config names is in the source."""
  if feature and not first_of([feature], columns):
    raise InputError(
      f'{source}: expected {COLUMNS[kind]} as {feature!r}, which '
      f'--config.prompts.{kind}_column names, got '
      f'{list(columns) or "no columns"}.'
    )


def _without_sound(where: str, feature: str, columns: Sequence[str]) -> str:
  names = [feature] if feature else DEFAULT_NAMES.audio
  return (
    f'{where}: expected a file of sound as {" or ".join(names)}, got the '
    f'columns {list(columns)}. Name the one with the sounds: '
    '--config.prompts.audio_column=KEY'
  )


def check_characters(where: str, text: str) -> None:
  """Checks that a text is Unicode: JSON can hold one half of a pair.

  Raises:
    InputError: it is not; `where` says what text it is.
  """
  try:
    text.encode()
  except UnicodeEncodeError as error:
    raise InputError(
      f'{where}: expected whole characters, got one half of a pair, '
      f'{text[error.start]!a}, behind {text[: error.start][-20:]!r}. The '
      'text was cut inside a character such as an emoji; repair it.'
    ) from error


def step_ids(
  num_prompts: int, prompts_per_step: int, step: int, seed: int
) -> np.ndarray:
  """The prompt ids of a step: a pure function, so there is no state to resume.

  Step s takes the positions s·P to (s+1)·P − 1 of an endless sequence of
  permutations of all prompts, another one in each epoch. So no prompt repeats
  within an epoch, and the order is the same on every host, after every restart,
  and with every version of numpy and jax.

  Args:
    num_prompts: the number of prompts, at least 1.
    prompts_per_step: P.
    step: from 0.
    seed: of the run, not negative.

  Returns:
    [P] int64 in [0, num_prompts).
  """
  if num_prompts < 1 or prompts_per_step < 1 or step < 0 or seed < 0:
    raise ValueError(
      'Expected num_prompts ≥ 1, prompts_per_step ≥ 1, step ≥ 0 and seed ≥ 0, '
      f'got {num_prompts}, {prompts_per_step}, {step} and {seed}.'
    )
  first = step * prompts_per_step
  positions = np.arange(first, first + prompts_per_step)
  epochs, within = np.divmod(positions, num_prompts)
  ids = np.empty(prompts_per_step, np.int64)
  for epoch in np.unique(epochs):
    here = epochs == epoch
    ids[here] = _permutation(num_prompts, seed, int(epoch))[within[here]]
  return ids


@functools.lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int) -> np.ndarray:
  """Sorts raw bits: their stream is fixed, that of `permutation` is not."""
  bits = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(
    size
  )
  return np.argsort(bits, kind='stable')
