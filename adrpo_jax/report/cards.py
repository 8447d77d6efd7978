"""Cards of prompts: what several models make of the same ones.

Prompts and samples are chosen by a rule that does not look at the outcome, so
that failures are shown at the rate at which they happen.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from adrpo_jax.report import page
from adrpo_jax.report.run_record import Kept

RULE = (
  'Prompts are the first of each category in evaluation order, and samples the '
  'first draws of each: the choice does not look at the outcome.'
)
S = TypeVar('S', bound=Kept)
LONG = 240  # letters of a prompt, beyond which the rest is folded


class Column(NamedTuple, Generic[S]):
  """A model's name and its samples."""

  title: str
  samples: S


class Manner(NamedTuple):
  """How samples of a kind are shown: in which words, by which functions.

  things:    what they are called
  title:     of the section that sets base and tuned beside each other
  lead:      how to read that section, behind `RULE`
  pairs:     (base, tuned) -> HTML, a card a prompt
  by_method: (columns) -> HTML, a card a prompt
  files:     (columns) -> name -> bytes, what is written beside the page
  """

  things: str
  title: str
  lead: str
  pairs: Callable[[Any, Any], str]
  by_method: Callable[[Any], str]
  files: Callable[[Any], dict[str, bytes]]


def chosen_prompts(categories: Sequence[str], limit: int) -> list[int]:
  """The first prompt of every category, then the second, ... up to a limit."""
  turns: dict[int, list[int]] = defaultdict(list)
  seen: dict[str, int] = defaultdict(int)
  for index, category in enumerate(categories):
    turns[seen[category]].append(index)
    seen[category] += 1
  return [index for turn in sorted(turns) for index in turns[turn]][:limit]


def same_prompts(columns: Sequence[Column[Any]]) -> bool:
  """Whether all answer the same prompts, in one kind, with as many samples."""
  first = columns[0].samples
  return all(
    type(first) is type(column.samples)
    and np.array_equal(first.prompts, column.samples.prompts)
    and first.success.shape == column.samples.success.shape
    for column in columns
  )


def tally(columns: Iterable[Column[Any]], prompt: int) -> str:
  """How many of all samples of a prompt succeed: "base 1 of 8, tuned ..."."""
  rows = ((c.title.lower(), c.samples.success[prompt]) for c in columns)
  return ', '.join(
    f'{name} {int(row.sum())} of {row.size}' for name, row in rows
  )


def card(prompt: str, line: str, *html: str) -> str:
  """A prompt, a line on it, and what is shown of it; a long one is folded."""
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
