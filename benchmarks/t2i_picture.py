"""The picture of the front page: samples of a run before and after training.

  PYTHONPATH=. python benchmarks/t2i_picture.py RUN

RUN is the workdir of a finished run of configs/t2i.py. The picture shows the
first prompt of each category with its first four samples, from the same noise,
framed by the judge's verdict: nothing is chosen by hand.
"""

import pathlib
import sys
import textwrap

from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
import numpy as np

from adrpo_jax.figures.style import LIGHT
from adrpo_jax.samples import image_file

PROMPTS, SAMPLES = 6, 4
ROWS = {'Base': 'base', 'Tuned': 'final'}  # title -> file of samples
OUTPUT = pathlib.Path(__file__).parent / 'results' / 't2i_samples.png'


def main(workdir: pathlib.Path) -> None:
  """Writes benchmarks/results/t2i_samples.png."""
  figure = Figure(figsize=(10.2, 3.76), dpi=190)
  margins = {'left': 0.066, 'right': 0.995, 'top': 0.835, 'bottom': 0.015}
  grid = figure.add_gridspec(
    len(ROWS), PROMPTS, wspace=0.09, hspace=0.07, **margins
  )
  for row, (title, name) in enumerate(ROWS.items()):
    samples = image_file.read(workdir / 'samples' / f'{name}.npz')
    for prompt in range(PROMPTS):
      cell = grid[row, prompt]
      draw_samples(
        figure, cell, samples.images[prompt], samples.success[prompt]
      )
      if row == 0:
        draw_prompt(figure, cell, str(samples.prompts[prompt]))
    share = np.mean(samples.success[:PROMPTS, :SAMPLES])
    box = grid[row, 0].get_position(figure)
    figure.text(
      0.055,
      (box.y0 + box.y1) / 2,
      f'{title}\n{share:.0%}',
      ha='right',
      va='center',
      fontsize=11,
      color=LIGHT.ink,
    )
  figure.savefig(OUTPUT, facecolor=LIGHT.surface)


def draw_samples(
  figure: Figure, cell: SubplotSpec, images: np.ndarray, success: np.ndarray
) -> None:
  """Four images in a square, framed by whether they succeed."""
  tiles = cell.subgridspec(2, 2, wspace=0.05, hspace=0.05)
  for index in range(SAMPLES):
    panel = figure.add_subplot(tiles[index // 2, index % 2])
    panel.imshow(images[index], interpolation='nearest')
    panel.set(xticks=[], yticks=[])
    for spine in panel.spines.values():
      color = LIGHT.good if success[index] else LIGHT.bad
      spine.set(color=color, linewidth=2)


def draw_prompt(figure: Figure, cell: SubplotSpec, prompt: str) -> None:
  """The text of a prompt above its images."""
  box = cell.get_position(figure)
  figure.text(
    (box.x0 + box.x1) / 2,
    box.y1 + 0.015,
    textwrap.fill(prompt, 22),
    ha='center',
    va='bottom',
    fontsize=8.5,
    color=LIGHT.ink,
  )


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]))
