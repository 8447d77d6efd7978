"""Lines of methods: a measure over steps or over the divergence."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adrpo_jax.figures.curves import as_percent, spread_apart
from adrpo_jax.figures.pareto import color_of, marker_of
from adrpo_jax.figures.style import Axes, Theme


class Line(NamedTuple):
  """The mean of a method over seeds along x [K], and its standard error.

  number: the index of the method in the palette
  """

  name: str
  number: int
  x: np.ndarray
  values: np.ndarray
  errors: np.ndarray


def draw_progress(
  theme: Theme,
  axes: Axes,
  *,
  lines: Sequence[Line],
  label: str,
  percent: bool,
) -> None:
  """Draws a measure over steps for every method, named at its line's end."""
  from matplotlib.ticker import MaxNLocator

  _draw_lines(theme, axes, lines)
  if percent:
    as_percent(axes.yaxis)
  axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
  axes.set_xlabel('step')
  axes.set_ylabel(label)
  _name_lines(theme, axes, lines)


def draw_over_divergence(
  theme: Theme,
  axes: Axes,
  *,
  lines: Sequence[Line],
  x_label: str,
  label: str,
) -> None:
  """Draws a measure over the divergence; a dot marks the end of each line.

  The divergence is a squared distance, so x is scaled by its square root. Small
  and large divergences are then visible on one axis, 0 included.
  """
  from matplotlib.ticker import MaxNLocator

  _draw_lines(theme, axes, lines)
  for line in lines:
    axes.plot(
      line.x[-1],
      line.values[-1],
      marker=marker_of(line.number),
      markersize=5,
      color=color_of(theme, line.number),
    )
  axes.set_xscale('function', functions=(_root, np.square))
  axes.set_xlim(left=0.0)
  axes.xaxis.set_major_locator(MaxNLocator(5))
  axes.set_xlabel(x_label)
  axes.set_ylabel(label)
  _name_lines(theme, axes, lines)


def _root(x: np.ndarray) -> np.ndarray:
  return np.sqrt(np.maximum(x, 0.0))


def _draw_lines(theme: Theme, axes: Axes, lines: Sequence[Line]) -> None:
  for line in lines:
    color = color_of(theme, line.number)
    axes.plot(line.x, line.values, color=color, linewidth=1.6)
    axes.fill_between(
      line.x,
      line.values - line.errors,
      line.values + line.errors,
      color=color,
      alpha=0.12,
      lw=0,
    )
  axes.margins(x=0.02)


def _name_lines(theme: Theme, axes: Axes, lines: Sequence[Line]) -> None:
  """Writes names to the right, in the order of the ends of the lines."""
  low, high = axes.get_ylim()
  last = [float(line.values[-1]) for line in lines]
  for line, height in zip(
    lines, spread_apart(last, 0.055 * (high - low)), strict=True
  ):
    axes.annotate(
      line.name,
      (1, height),
      xycoords=('axes fraction', 'data'),
      xytext=(6, 0),
      textcoords='offset points',
      va='center',
      fontsize=7.5,
      color=color_of(theme, line.number),
      annotation_clip=False,
    )
