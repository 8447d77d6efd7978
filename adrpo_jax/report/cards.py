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
from adrpo_jax.stats.measures import REWARD

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
    and first.rewards.shape == column.samples.rewards.shape
    for column in columns
  )


def tally(columns: Iterable[Column[Any]], prompt: int) -> str:
  """Returns how many samples succeed: "succeeds: base 1 of 8, tuned ...".

  Of a reward that does not measure success, it returns the means instead.
  """
  columns = list(columns)
  if any(column.samples.success is None for column in columns):
    means = [(c.title, np.mean(c.samples.rewards[prompt])) for c in columns]
    places = REWARD.places(*(float(mean) for _, mean in means))
    cells = [f'{t.lower()} {REWARD.format(m, None, places)}' for t, m in means]
    return f'mean reward: {", ".join(cells)}'
  rows = ((c.title.lower(), c.samples.success[prompt]) for c in columns)
  return 'succeeds: ' + ', '.join(
    f'{name} {int(row.sum())} of {row.size}' for name, row in rows
  )


def succeeds(samples: KeptSamples, index: tuple[int, int]) -> bool | None:
  """Returns a sample's success, None for a reward that does not measure it."""
  return None if samples.success is None else bool(samples.success[index])


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
