"""Cards that show the samples of several models for one prompt.

Prompts and samples are chosen by a rule that does not look at the results, so
that failures appear as often as they happen.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from adrpo_jax.report import page
from adrpo_jax.report.run_record import KeptSamples

SELECTION_RULE = (
  'The page shows the first prompts of each category in evaluation order, and '
  'the first samples of each prompt, regardless of the results.'
)
S = TypeVar('S', bound=KeptSamples)
LONG = 240  # characters of a prompt, after which it is folded


class Column(NamedTuple, Generic[S]):
  """The name of a model and its samples."""

  title: str
  samples: S


def chosen_prompts(categories: Sequence[str], limit: int) -> list[int]:
  """Returns the first prompt of every category, then the second, ..."""
  turns: dict[int, list[int]] = defaultdict(list)
  counts: dict[str, int] = defaultdict(int)
  for index, category in enumerate(categories):
    turns[counts[category]].append(index)
    counts[category] += 1
  return [index for turn in sorted(turns) for index in turns[turn]][:limit]


def same_prompts(columns: Sequence[Column[Any]]) -> bool:
  """Returns True if all columns have the same kind, prompts and group size."""
  first = columns[0].samples
  return all(
    type(first) is type(column.samples)
    and np.array_equal(first.prompts, column.samples.prompts)
    and first.success.shape == column.samples.success.shape
    for column in columns
  )


def tally(columns: Iterable[Column[Any]], prompt: int) -> str:
  """Returns how many samples of a prompt succeed: "base 1 of 8, tuned ..."."""
  rows = ((c.title.lower(), c.samples.success[prompt]) for c in columns)
  return ', '.join(
    f'{name} {int(row.sum())} of {row.size}' for name, row in rows
  )


def card(prompt: str, line: str, *html: str) -> str:
  """Returns a card with a prompt, a line about it, and its samples.

  A long prompt is folded.
  """
  whole = ''
  if len(prompt) > LONG:
    whole = (
      '<details class="rest"><summary>The whole prompt</summary>'
      f'<p class="said">{page.text(prompt)}</p></details>'
    )
    prompt = prompt[:LONG].rstrip() + '…'
  return (
    f'<article class="card prompt"><h3>“{page.text(prompt)}”</h3>'
    f'<p>{page.text(line)}</p>{whole}{"".join(html)}</article>'
  )
