"""Scores of answers to questions with options, in a table.

official      the rule of MMAU and MMAR, see `rewards.text.choices`
strict        the answer equals the right option
an option     the answer equals an option, right or wrong
first option  the official score of who always takes the first
random        that of who draws an option: the mean over them, without drawing

An answer is the text between its last <answer> tags, or all of it without tags.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.rewards.text import choices
from adrpo_jax.scoring.benchmarks import Answered
from adrpo_jax.stats.number_format import percent
from adrpo_jax.stats.prompt_means import mean_and_error

MEASURES = ('official', 'strict', 'an option', 'first option', 'random')


class Row(NamedTuple):
  """A group of questions: how many, and measure -> (mean, standard error)."""

  name: str
  questions: int
  means: dict[str, tuple[float, float]]


def judged(items: Sequence[Answered]) -> dict[str, np.ndarray]:
  """Measure -> [questions], what each question adds to a score."""
  numbers = np.array([_numbers(item) for item in items], float)
  return dict(zip(MEASURES, numbers.T, strict=True))


def _numbers(item: Answered) -> list[float]:
  answer = choices.stated(item.answer or '')
  by_option = [
    choices.official(option, item.right, item.choices)
    for option in item.choices
  ]
  return [
    float(choices.official(answer, item.right, item.choices)),
    float(choices.strict(answer, item.right)),
    float(choices.listed(answer, item.choices)),
    float(by_option[0]),
    sum(by_option) / len(by_option),
  ]


def rows(items: Sequence[Answered]) -> list[Row]:
  """All questions, then each group of them, then each number of options."""
  by_question = judged(items)
  return [
    Row(
      name,
      int(mask.sum()),
      {
        measure: mean_and_error(values[mask])
        for measure, values in by_question.items()
      },
    )
    for name, mask in _groups(items)
  ]


def _groups(items: Sequence[Answered]) -> Iterator[tuple[str, np.ndarray]]:
  """Yields (name, [questions] bool)."""
  yield 'all', np.ones(len(items), bool)
  kinds = {key: [item.groups[key] for item in items] for key in items[0].groups}
  kinds['options'] = [str(len(item.choices)) for item in items]
  for key, values in kinds.items():
    for value in sorted(set(values) - {''}):
      yield f'{key}: {value}', np.array(values) == value


def as_text(table: Sequence[Row]) -> str:
  """A line for each group, with the standard error of the official score."""
  lines = [['', 'questions', *MEASURES]] + [
    [row.name, str(row.questions), percent(*row.means['official'])]
    + [percent(row.means[measure][0]) for measure in MEASURES[1:]]
    for row in table
  ]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return '\n'.join(
    '  '.join(
      [cells[0].ljust(widths[0])]
      + [cell.rjust(w) for cell, w in zip(cells[1:], widths[1:], strict=True)]
    ).rstrip()
    for cells in lines
  )


def as_record(
  items: Sequence[Answered], table: Sequence[Row]
) -> Mapping[str, Any]:
  """The table and the verdict on every question, for a JSON file."""
  by_question = judged(items)
  return {
    'table': [row._asdict() for row in table],
    'questions': {
      item.id: {
        measure: bool(by_question[measure][i]) for measure in MEASURES[:3]
      }
      for i, item in enumerate(items)
    },
  }
