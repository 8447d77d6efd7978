"""Answers beside each other: the same prompts under several models.

The tokens of an answer are colored by log π − log π_ref: where training has
made them more likely than they are under the reference, and where less.
"""

from collections.abc import Sequence
import math

import numpy as np

from adrpo_jax.report import page
from adrpo_jax.report.cards import Column, Manner, card, chosen_prompts, tally
from adrpo_jax.samples.text_file import TextSamples
from adrpo_jax.stats.measures import REWARD
from adrpo_jax.stats.number_format import MINUS, plain_difference

FOLDED = 320  # letters of an answer, beyond which the rest is folded
LINE = 40  # letters that a new line counts for there
SHADES = 4  # of a color, to either side
SMALLEST = 0.1  # nats, of the strongest shade
ROUNDING = 0.005  # nats, below which a token has not moved
Texts = Column[TextSamples]
Cell = tuple[int, int]  # prompt, draw


def changes(samples: TextSamples, cell: Cell) -> np.ndarray:
  """log π − log π_ref of the tokens of an answer, in nats, 0 if not finite."""
  within = samples.pieces[cell] != ''
  return np.nan_to_num(samples.divergences[cell][within], posinf=0, neginf=0)


def scale_of(columns: Sequence[Texts], cells: Sequence[Cell]) -> float:
  """Nats of the strongest shade: nineteen of twenty tokens stay below it.

  One for all answers of a page, and a round number.
  """
  found = [np.abs(changes(c.samples, cell)) for c in columns for cell in cells]
  moved = np.concatenate([np.zeros(0), *found])
  moved = moved[moved > 0]
  if not len(moved):
    return SMALLEST
  high = max(float(np.percentile(moved, 95)), SMALLEST)
  power = 10.0 ** math.floor(math.log10(high))
  rounded = (m * power for m in (1, 1.5, 2, 3, 5, 7, 10))
  return next(level for level in rounded if level > 0.999 * high)


def shade(change: float, scale: float) -> int:
  """-SHADES to SHADES: the step of the color; 0 is none."""
  return round(SHADES * min(max(change / scale, -1.0), 1.0))


def _class(step: int) -> str:
  return f'{"more" if step > 0 else "less"}{abs(step)}' if step else ''


def _token(piece: str, change: float, scale: float) -> str:
  """A token with its color, and its number on hover."""
  marks = [_class(shade(change, scale))] if shade(change, scale) else []
  if marks and '\n' in piece and not piece.strip():
    marks.append('line')  # What is colored can be seen.
  named = f' class="{" ".join(marks)}"' if marks else ''
  number = plain_difference(change, places=2)
  return f'<i{named} title="{number}">{page.text(piece)}</i>'


def _said(samples: TextSamples, cell: Cell, scale: float) -> str:
  """An answer; one of which no token has moved, as the base's, is plain."""
  moved = changes(samples, cell)
  if np.abs(moved).max(initial=0.0) >= ROUNDING:
    pieces = [str(piece) for piece in samples.pieces[cell] if piece != '']
    marked = [_token(*pair, scale) for pair in zip(pieces, moved, strict=True)]
  else:
    pieces = list(str(samples.answers[cell]))
    marked = [page.text(letter) for letter in pieces]
  if not pieces:
    return '<p class="said none">says nothing</p>'
  ends = np.cumsum([len(p) + LINE * p.count('\n') for p in pieces])
  shown = len(pieces)
  if ends[-1] > 1.3 * FOLDED:
    shown = max(1, int(np.searchsorted(ends, FOLDED, side='right')))
  rest = ''
  if shown < len(pieces):
    left = sum(map(len, pieces[shown:]))
    rest = (
      f'<details class="rest"><summary>{left:,} more letters</summary>'
      f'<p class="said">{"".join(marked[shown:])}</p></details>'
    )
  return f'<p class="said">{"".join(marked[:shown])}</p>{rest}'


def _answer(samples: TextSamples, cell: Cell, scale: float) -> str:
  """An answer under its mark, its reward and the judge's words."""
  mark = '<b class="good">✓</b>' if samples.success[cell] else ''
  mark = mark or '<b class="bad">✗</b>'
  line = [f'reward {REWARD.written(float(samples.rewards[cell]))}']
  if count := int((samples.pieces[cell] != '').sum()):
    line.append(f'{count} token{"" if count == 1 else "s"}')
  if verdict := str(samples.verdicts[cell]):
    line.append(verdict)
  return (
    f'<div class="answer"><p class="judged">{mark} '
    f'{page.text(" · ".join(line))}</p>{_said(samples, cell, scale)}</div>'
  )


def spectrum(scale: float) -> str:
  """What the colors mean."""
  steps = ''.join(
    f'<i class="{_class(step)}"></i>' for step in range(-SHADES, SHADES + 1)
  )
  return (
    '<div class="key spectrum"><span>Tokens less likely than under the '
    f'reference</span><span class="steps">{MINUS}{scale:g}{steps}+{scale:g} '
    'nats</span><span>more likely</span></div>'
  )


def pairs(
  base: Texts, tuned: Texts, *, prompts: int = 8, draws: int = 4
) -> str:
  """Cards of a prompt each: the base's answers above the tuned model's."""
  chosen = chosen_prompts(list(base.samples.categories), prompts)
  count = range(min(draws, base.samples.answers.shape[1]))
  scale = scale_of([base, tuned], [(p, g) for p in chosen for g in count])
  cards = []
  for index in chosen:
    rows = [
      f'<div class="row answers"><h4{of}>{page.text(column.title)}</h4>'
      + ''.join(_answer(column.samples, (index, g), scale) for g in count)
      + '</div>'
      for column, of in ((base, ''), (tuned, ' class="of"'))
    ]
    category = base.samples.categories[index]
    line = f'{category} · succeeds: {tally((base, tuned), index)}'
    cards.append(card(str(base.samples.prompts[index]), line, *rows))
  return spectrum(scale) + page.grid('', cards)


def by_method(columns: Sequence[Texts], *, prompts: int = 6) -> str:
  """Cards of a prompt each, with the first answer of every model."""
  first = columns[0].samples
  chosen = chosen_prompts(list(first.categories), prompts)
  scale = scale_of(columns, [(p, 0) for p in chosen])
  cards = []
  for index in chosen:
    cells = ''.join(
      f'<div><h4 title="{page.text(column.title)}">{page.text(column.title)} '
      f'</h4>{_answer(column.samples, (index, 0), scale)}</div>'
      for column in columns
    )
    methods = f'<div class="row methods answers">{cells}</div>'
    prompt, category = first.prompts[index], first.categories[index]
    cards.append(card(str(prompt), str(category), methods))
  return spectrum(scale) + page.grid('', cards)


ANSWERS = Manner(
  things='answers',
  title='Answers of base and tuned',
  lead='Above each answer stand its reward and what the judge said, and beside '
  'each prompt how many of all its answers succeed. Colors show what training '
  'did to a token: log π − log π_ref, whose number appears under the pointer.',
  pairs=pairs,
  by_method=by_method,
  files=lambda columns: {},
)
