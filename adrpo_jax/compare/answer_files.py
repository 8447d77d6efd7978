"""Files of answers to one benchmark, compared question by question."""

from collections.abc import Sequence

import numpy as np

from adrpo_jax.compare.pairs import LEGEND, make_pairs, pair_rows
from adrpo_jax.compare.table import markdown
from adrpo_jax.errors import InputError
from adrpo_jax.scoring.answer_scores import judged
from adrpo_jax.scoring.benchmarks import Answered, read_answers, unanswered
from adrpo_jax.stats.measures import Measure
from adrpo_jax.system import local_paths

RULES = (
  Measure('official', 'Official rule', 'words, as a set', +1, share=True),
  Measure('strict', 'Strict rule', 'the right option, alone', +1, share=True),
)


def compare_answers(
  models: Sequence[str], benchmark: str, count: int = 0
) -> str:
  """Returns tables in Markdown that compare the first model with each other.

  Args:
    models: of each model its file, or with commas the files of its seeds.
    benchmark: a name in `scoring.benchmarks.BENCHMARKS`.
    count: of questions, see `read_answers`.

  Raises:
    InputError: one model alone, a file that cannot be read, or other questions
      than in the first file.
  """
  if len(models) < 2:
    raise InputError(
      'Expected --answers=FILE twice or more, one for each model, and '
      f'--benchmark, got {len(models)}. Write commas between the seeds of one '
      'model: --answers=a_0.json,a_1.json --answers=b_0.json,b_1.json.'
    )
  files = {
    path: read_answers(local_paths.expanded(path), benchmark, count=count)
    for model in models
    for path in model.split(',')
  }
  notes = [
    f'{path}: {note}'
    for path, items in files.items()
    if (note := unanswered(items))
  ]
  first = next(iter(files))
  scores = {
    path: judged(_aligned(files[first], first, files[path], path))
    for path in files
  }
  parts = []
  for rule in RULES:
    titled = [
      (model, np.stack([scores[path][rule.key] for path in model.split(',')]))
      for model in models
    ]
    pairs = make_pairs(titled[0], titled[1:])
    parts += [
      f'{rule.title}: {rule.meaning}.',
      markdown(pair_rows(pairs, rule)),
    ]
  return '\n\n'.join([*parts, LEGEND.format(items='questions'), *notes])


def _aligned(
  first: Sequence[Answered], path: str, others: Sequence[Answered], other: str
) -> list[Answered]:
  """Returns the answers of a file in the order of the first one.

  Raises:
    InputError: the questions, or their right answers, differ.
  """
  by_id = {item.id: item for item in others}
  for item in first:
    right = by_id[item.id].right if item.id in by_id else None
    if right != item.right:
      got = 'no such question' if right is None else repr(right)
      raise InputError(
        f'{other}: expected the questions of {path}, where the right answer to '
        f'{item.id} is {item.right!r}, got {got}. Compare answers to one '
        'version of the benchmark.'
      )
  return [by_id[item.id] for item in first]
