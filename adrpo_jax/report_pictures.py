"""Pictures side by side: the same prompts and noise under several models.

Prompts and samples are chosen by a rule that does not look at the outcome, so
that failures are shown at the rate at which they happen.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from adrpo_jax import figures, page
from adrpo_jax.figure_style import LIGHT, render
from adrpo_jax.kept_samples import Samples

RULE = (
  'Prompts are the first of each category in evaluation order, and samples the '
  'first draws of each: the choice does not look at the outcome.'
)


class Column(NamedTuple):
  """A model's name and its samples."""

  title: str
  samples: Samples


def chosen_prompts(categories: Sequence[str], limit: int) -> list[int]:
  """The first prompt of every category, then the second, ... up to a limit."""
  turns: dict[int, list[int]] = defaultdict(list)
  seen: dict[str, int] = defaultdict(int)
  for index, category in enumerate(categories):
    turns[seen[category]].append(index)
    seen[category] += 1
  return [index for turn in sorted(turns) for index in turns[turn]][:limit]


def same_prompts(columns: Sequence[Column]) -> bool:
  """Whether all columns answer the same prompts with as many samples."""
  first = columns[0].samples
  return all(
    np.array_equal(first.prompts, column.samples.prompts)
    and first.success.shape == column.samples.success.shape
    for column in columns
  )


def _thumbs(column: Column, prompts: list[int], draws: int) -> list[list[str]]:
  """Per prompt, the thumbnails of its first draws."""
  samples = column.samples
  draws = min(draws, samples.images.shape[1])
  cells = [(p, g) for p in prompts for g in range(draws)]
  budget = page.PICTURE_BYTES * draws // 8
  small = page.thumbnails([samples.images[c] for c in cells], budget=budget)
  made = [
    page.thumb(
      picture,
      samples.images[cell],
      verdict=str(samples.verdicts[cell]),
      success=bool(samples.success[cell]),
    )
    for picture, cell in zip(small, cells, strict=True)
  ]
  return [made[i * draws : (i + 1) * draws] for i in range(len(prompts))]


def plate(columns: Sequence[Column], *, prompts: int = 6) -> bytes:
  """One PNG for a paper or a README: a model a row, a prompt a column.

  Each prompt shows its first draw, framed by the judge's verdict.
  """
  first = columns[0].samples
  chosen = chosen_prompts(list(first.categories), prompts)
  draw = partial(
    figures.draw_plate,
    images=[[c.samples.images[p, 0] for p in chosen] for c in columns],
    success=[[bool(c.samples.success[p, 0]) for p in chosen] for c in columns],
    rows=[column.title for column in columns],
    columns=[str(first.prompts[p]) for p in chosen],
  )
  size = (1.2 * len(chosen) + 0.9, 1.16 * len(columns) + 0.55)
  return render(draw, LIGHT, size=size, panels=(len(columns), len(chosen)))


def _tally(samples: Samples, prompt: int) -> str:
  row = samples.success[prompt]
  return f'{int(row.sum())} of {row.size}'


def pairs(
  base: Column, tuned: Column, *, prompts: int = 8, draws: int = 4
) -> str:
  """Cards of a prompt each: the base's samples above the tuned model's.

  One column of a card is one noise.
  """
  chosen = chosen_prompts(list(base.samples.categories), prompts)
  upper, lower = (_thumbs(c, chosen, draws) for c in (base, tuned))
  cards = []
  for index, above, below in zip(chosen, upper, lower, strict=True):
    columns = f'style="grid-template-columns:repeat({len(above)},1fr)"'
    tally = ', '.join(
      f'{c.title.lower()} {_tally(c.samples, index)}' for c in (base, tuned)
    )
    cards.append(
      '<article class="card prompt">'
      f'<h3>“{page.text(base.samples.prompts[index])}”</h3>'
      f'<p>{page.text(base.samples.categories[index])} · succeeds: '
      f'{page.text(tally)}</p>'
      f'<div class="row" {columns}><h4>{page.text(base.title)}</h4>'
      f'{"".join(above)}</div>'
      f'<div class="row" {columns}><h4 class="of">{page.text(tuned.title)}</h4>'
      f'{"".join(below)}</div></article>'
    )
  return page.grid('two', cards)


def by_method(
  columns: Sequence[Column], *, prompts: int = 6, draws: int = 2
) -> str:
  """Cards of a prompt each, in which every model shows the same noises."""
  first = columns[0].samples
  chosen = chosen_prompts(list(first.categories), prompts)
  thumbs = [_thumbs(column, chosen, draws) for column in columns]
  cards = []
  for row, index in enumerate(chosen):
    cells = ''.join(
      f'<div><h4 title="{page.text(column.title)}">{page.text(column.title)} '
      f'</h4>{"".join(thumbs[i][row])}</div>'
      for i, column in enumerate(columns)
    )
    cards.append(
      '<article class="card prompt">'
      f'<h3>“{page.text(first.prompts[index])}”</h3>'
      f'<p>{page.text(first.categories[index])}</p>'
      f'<div class="row methods">{cells}</div></article>'
    )
  return page.grid('', cards)
