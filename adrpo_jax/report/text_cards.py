"""Answers side by side: several models with the same prompts.

The color of a token shows log π − log π_ref: whether training has made it more
or less likely than under the reference model.
"""

from collections.abc import Sequence
import math

import numpy as np

from adrpo_jax.report import page
from adrpo_jax.report.cards import Column, card, chosen_prompts, succeeds, tally
from adrpo_jax.report.player import player
from adrpo_jax.samples.text_file import TextSamples
from adrpo_jax.stats.measures import REWARD
from adrpo_jax.stats.number_format import MINUS, decimal_difference

TITLE = 'Answers of base and tuned'
LEAD = (
  'The line above an answer has its reward, its length and the verdict of '
  'the judge, and the line below a prompt sums its answers up. The '
  'color of a token shows log π − log π_ref: how much more or less likely '
  'training has made it. Point at a token to see the number.'
)
FOLDED = 320  # characters of an answer, after which it is folded
LINE = 40  # characters that a line break counts as
SHADES = 4  # shades of each of the two colors
SMALLEST = 0.1  # nats: the least value of the strongest shade
ROUNDING = 0.005  # nats: smaller changes count as none
TextColumn = Column[TextSamples]
SampleIndex = tuple[int, int]  # prompt, sample


def changes(samples: TextSamples, index: SampleIndex) -> np.ndarray:
  """Returns log π − log π_ref of an answer's tokens, in nats, or 0 if NaN."""
  within = samples.pieces[index] != ''
  return np.nan_to_num(samples.divergences[index][within], posinf=0, neginf=0)


def scale_of(
  columns: Sequence[TextColumn], indices: Sequence[SampleIndex]
) -> float:
  """Returns the nats of the strongest shade, one round number for a page.

  The changes of 95 percent of the tokens are below it.
  """
  magnitudes = [
    np.abs(changes(c.samples, index)) for c in columns for index in indices
  ]
  nonzero = np.concatenate([np.zeros(0), *magnitudes])
  nonzero = nonzero[nonzero > 0]
  if not len(nonzero):
    return SMALLEST
  high = max(float(np.percentile(nonzero, 95)), SMALLEST)
  power = 10.0 ** math.floor(math.log10(high))
  rounded = (m * power for m in (1, 1.5, 2, 3, 5, 7, 10))
  return next(level for level in rounded if level > 0.999 * high)


def shade(change: float, scale: float) -> int:
  """Returns the shade of a token, from -SHADES to SHADES; 0 is no color."""
  return round(SHADES * min(max(change / scale, -1.0), 1.0))


def _class(step: int) -> str:
  return f'{"more" if step > 0 else "less"}{abs(step)}' if step else ''


def _token(piece: str, change: float, scale: float) -> str:
  """Returns a token with its color, and its number as a tooltip."""
  marks = [_class(shade(change, scale))] if shade(change, scale) else []
  if marks and '\n' in piece and not piece.strip():
    marks.append('line')  # Makes the colored line break visible.
  named = f' class="{" ".join(marks)}"' if marks else ''
  number = decimal_difference(change, places=2)
  return f'<i{named} title="{number}">{page.text(piece)}</i>'


def _answer_html(samples: TextSamples, index: SampleIndex, scale: float) -> str:
  """Returns an answer, without colors if no token has changed."""
  change = changes(samples, index)
  if np.abs(change).max(initial=0.0) >= ROUNDING:
    pieces = [str(piece) for piece in samples.pieces[index] if piece != '']
    pieces_html = [
      _token(*pair, scale) for pair in zip(pieces, change, strict=True)
    ]
  else:
    pieces = list(str(samples.answers[index]))
    pieces_html = [page.text(letter) for letter in pieces]
  if not pieces:
    return '<p class="said none">empty answer</p>'
  ends = np.cumsum([len(p) + LINE * p.count('\n') for p in pieces])
  shown = len(pieces)
  if ends[-1] > 1.3 * FOLDED:
    shown = max(1, int(np.searchsorted(ends, FOLDED, side='right')))
  rest = ''
  if shown < len(pieces):
    hidden = sum(map(len, pieces[shown:]))
    rest = (
      f'<details class="rest"><summary>{hidden:,} more characters</summary>'
      f'<p class="said">{"".join(pieces_html[shown:])}</p></details>'
    )
  return f'<p class="said">{"".join(pieces_html[:shown])}</p>{rest}'


def _answer(samples: TextSamples, index: SampleIndex, scale: float) -> str:
  """Returns an answer below its mark, reward, length and verdict."""
  mark = page.mark(succeeds(samples, index))
  line = [f'reward {REWARD.format(float(samples.rewards[index]))}']
  if count := int((samples.pieces[index] != '').sum()):
    line.append(f'{count} token{"" if count == 1 else "s"}')
  if verdict := str(samples.verdicts[index]):
    line.append(verdict)
  return (
    f'<div class="answer"><p class="judged">{mark}'
    f'{page.text(" · ".join(line))}</p>'
    f'{_answer_html(samples, index, scale)}</div>'
  )


def _clip(samples: TextSamples, index: int) -> str:
  """Returns the player of a prompt's clip, '' of a prompt without one."""
  return player(samples.clips[index]) if samples.clips else ''


def spectrum(scale: float) -> str:
  """Returns the legend of the colors."""
  steps = ''.join(
    f'<i class="{_class(step)}"></i>' for step in range(-SHADES, SHADES + 1)
  )
  return (
    '<div class="key spectrum"><span>Tokens less likely than under the '
    f'reference</span><span class="steps">{MINUS}{scale:g}{steps}+{scale:g} '
    'nats</span><span>more likely</span></div>'
  )


def pairs(
  base: TextColumn, tuned: TextColumn, *, prompts: int = 8, draws: int = 4
) -> str:
  """Returns a card per prompt, answers of base above answers of tuned."""
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
    line = f'{category} · {tally((base, tuned), index)}'
    clip = _clip(base.samples, index)
    cards.append(card(str(base.samples.prompts[index]), line, clip, *rows))
  return spectrum(scale) + page.grid('', cards)


def by_method(columns: Sequence[TextColumn], *, prompts: int = 6) -> str:
  """Returns a card per prompt with the first answer of every model."""
  first = columns[0].samples
  chosen = chosen_prompts(list(first.categories), prompts)
  scale = scale_of(columns, [(p, 0) for p in chosen])
  cards = []
  for index in chosen:
    indices = ''.join(
      f'<div><h4 title="{page.text(column.title)}">{page.text(column.title)} '
      f'</h4>{_answer(column.samples, (index, 0), scale)}</div>'
      for column in columns
    )
    methods = f'<div class="row methods answers">{indices}</div>'
    prompt, category = first.prompts[index], first.categories[index]
    clip = _clip(first, index)
    cards.append(card(str(prompt), str(category), clip, methods))
  return spectrum(scale) + page.grid('', cards)
