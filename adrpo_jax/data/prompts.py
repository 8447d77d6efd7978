"""Prompts of any source as one set, and their order in a run.

tfds:NAME[:SPLIT]         a tensorflow_datasets set, see `tfds_prompts`
reasoning_gym:TASK[:COUNT[:SEED]]
                          questions of a task, see `reasoning_prompts`
*.txt *.jsonl *.csv *.tsv a file, on a disk or in a bucket, see `readers`
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools

import numpy as np

from adrpo_jax.data import readers, reasoning_prompts, tfds_prompts
from adrpo_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class PromptSet:
  """Prompts by their id, which is their place in `texts`.

  Attributes:
    texts: the prompts.
    categories: of each prompt, '' where it has none.
    answers: the right answer to each, None where none is known.
  """

  texts: tuple[str, ...]
  categories: tuple[str, ...]
  answers: tuple[str | None, ...] = ()

  def __post_init__(self):
    if not self.answers:
      object.__setattr__(self, 'answers', (None,) * len(self.texts))
    counts = len(self.texts), len(self.categories), len(self.answers)
    if not self.texts or len(set(counts)) > 1:
      raise ValueError(
        'Expected at least one prompt, and a category and an answer for each, '
        f'got {counts[0]} prompts, {counts[1]} categories and {counts[2]} '
        'answers.'
      )

  def __len__(self) -> int:
    return len(self.texts)

  def chosen(self, ids: Sequence[int]) -> 'PromptSet':
    """Those of some ids, in their order; an id may come more than once."""
    return PromptSet(
      *(tuple(column[i] for i in ids) for column in dataclasses.astuple(self))
    )


def load(
  source: str,
  *,
  data_dir: str | None = None,
  text_feature: str = '',
  category_feature: str = '',
  answer_feature: str = '',
  check: Callable[[str], object] = str,
) -> PromptSet:
  """Reads all prompts of a source, in its own order.

  Args:
    source: a file whose name ends in .txt, .jsonl, .csv or .tsv,
      'tfds:NAME[:SPLIT]' or 'reasoning_gym:TASK[,TASK...][:COUNT[:SEED]]'.
      gs:// and s3:// paths work where their client does.
    data_dir: of tfds; its default (~/tensorflow_datasets) if None.
    text_feature: the column, key or tfds feature of the prompts; '' takes the
      first of `readers.USUAL_NAMES` that is there.
    category_feature: the same for categories; they are optional in the data.
    answer_feature: the same for right answers.
    check: raises a ValueError for a prompt that cannot be used.

  Raises:
    InputError: whatever is wrong, with the file and the line.
  """
  names = readers.names(text_feature, category_feature, answer_feature)
  if source.startswith('tfds:'):
    rows, unit = tfds_prompts.rows(source, data_dir, names), 'example'
  elif source.startswith(reasoning_prompts.SCHEME):
    rows, unit = reasoning_prompts.rows(source), 'example'
  else:
    rows, unit = readers.reader(source)(source, names), 'line'
  found: list[readers.Row] = []
  for row in rows:
    number, text = row.number, row.text
    where = f'{source}, {unit} {number}'
    if not text.strip():
      raise InputError(
        f'{where}: the prompt is empty. Expected some text; write it or take '
        f'the {unit} out.'
      )
    try:
      check(text.strip())
    except ValueError as error:
      raise InputError(f'{where}: {error}') from error
    found.append(row)
  if not found:
    raise InputError(f'{source}: expected at least one prompt, got none.')
  return PromptSet(
    tuple(row.text.strip() for row in found),
    tuple(row.category.strip() for row in found),
    tuple(row.answer for row in found),
  )


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
