"""Images side by side: several models with the same prompts and noise."""

from collections.abc import Sequence
from functools import partial
import textwrap

import numpy as np

from adrpo_jax.figures.style import LIGHT, Axes, Theme, render
from adrpo_jax.report import page
from adrpo_jax.report.cards import Column, card, chosen_prompts, succeeds, tally
from adrpo_jax.samples.image_file import Samples
from adrpo_jax.stats.measures import REWARD

TITLE = 'Base and tuned, from the same noise'
LEAD = (
  'The text below an image is the verdict of the judge. The line below a '
  'prompt sums its samples up.'
)


def _thumbs(
  column: Column[Samples], prompts: list[int], draws: int
) -> list[list[str]]:
  """Returns for each prompt the thumbnails of its first samples."""
  samples = column.samples
  draws = min(draws, samples.images.shape[1])
  cells = [(p, g) for p in prompts for g in range(draws)]
  budget = page.IMAGE_BYTES * draws // 8
  small = page.thumbnails([samples.images[c] for c in cells], budget=budget)
  figures = [
    page.thumbnail_figure(
      small_image,
      samples.images[cell],
      verdict=_verdict(samples, cell),
      success=succeeds(samples, cell),
    )
    for small_image, cell in zip(small, cells, strict=True)
  ]
  return [figures[i * draws : (i + 1) * draws] for i in range(len(prompts))]


def _verdict(samples: Samples, cell: tuple[int, int]) -> str:
  """Returns the words of the judge; without success, behind the reward."""
  words = str(samples.verdicts[cell])
  if samples.success is not None:
    return words
  reward = REWARD.format(float(samples.rewards[cell]))
  return ' · '.join(filter(None, (f'reward {reward}', words)))


def plate(columns: Sequence[Column[Samples]], *, prompts: int = 6) -> bytes:
  """Returns one PNG for a paper: a row per model, a column per prompt.

  Each cell is the first sample of the prompt. Its frame shows whether it
  succeeds, where that is measured.
  """
  first = columns[0].samples
  chosen = chosen_prompts(list(first.categories), prompts)
  draw = partial(
    draw_plate,
    images=[[c.samples.images[p, 0] for p in chosen] for c in columns],
    success=[[succeeds(c.samples, (p, 0)) for p in chosen] for c in columns],
    rows=[column.title for column in columns],
    columns=[str(first.prompts[p]) for p in chosen],
  )
  size = (1.2 * len(chosen) + 0.9, 1.16 * len(columns) + 0.55)
  return render(draw, LIGHT, size=size, panels=(len(columns), len(chosen)))


def draw_plate(
  theme: Theme,
  *axes: Axes,
  images: list[list[np.ndarray]],
  success: list[list[bool | None]],
  rows: list[str],
  columns: list[str],
) -> None:
  """Draws images [rows][columns] with titles and frames.

  A frame is green for success, red for none, and gray where that is unknown.
  """
  frames = {True: theme.good, False: theme.bad, None: theme.muted}
  for index, panel in enumerate(axes):
    row, column = divmod(index, len(columns))
    panel.imshow(images[row][column], interpolation='nearest')
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    frame = frames[success[row][column]]
    for spine in panel.spines.values():
      spine.set(visible=True, color=frame, linewidth=1.6)
    if row == 0:
      title = textwrap.fill(columns[column], 19)
      panel.set_title(title, fontsize=7.5, color=theme.ink, va='bottom')
    if column == 0:
      panel.set_ylabel(
        rows[row],
        rotation=0,
        ha='right',
        va='center',
        labelpad=8,
        color=theme.ink,
      )


def files(columns: Sequence[Column[Samples]]) -> dict[str, bytes]:
  """Returns file name -> bytes of the plate."""
  return {'samples.png': plate(columns)}


def pairs(
  base: Column[Samples],
  tuned: Column[Samples],
  *,
  prompts: int = 8,
  draws: int = 4,
) -> str:
  """Returns a card per prompt, samples of base above samples of tuned.

  The samples in one column of a card start from the same noise.
  """
  chosen = chosen_prompts(list(base.samples.categories), prompts)
  upper, lower = (_thumbs(c, chosen, draws) for c in (base, tuned))
  cards = []
  for index, above, below in zip(chosen, upper, lower, strict=True):
    columns = f'style="grid-template-columns:repeat({len(above)},1fr)"'
    category = base.samples.categories[index]
    cards.append(
      card(
        str(base.samples.prompts[index]),
        f'{category} · {tally((base, tuned), index)}',
        f'<div class="row" {columns}><h4>{page.text(base.title)}</h4>',
        *above,
        f'</div><div class="row" {columns}>',
        f'<h4 class="of">{page.text(tuned.title)}</h4>',
        *below,
        '</div>',
      )
    )
  return page.grid('two', cards)


def by_method(
  columns: Sequence[Column[Samples]], *, prompts: int = 6, draws: int = 2
) -> str:
  """Returns a card per prompt with samples of every model from equal noise."""
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
    methods = f'<div class="row methods">{cells}</div>'
    prompt, category = first.prompts[index], first.categories[index]
    cards.append(card(str(prompt), str(category), methods))
  return page.grid('', cards)
