"""Fronts of methods over their settings, each a staircase of its own."""

from collections.abc import Sequence
from typing import NamedTuple

from adrpo_jax.figures.curves import as_percent
from adrpo_jax.figures.pareto import color_of, marker_of, staircase
from adrpo_jax.figures.style import Axes, Theme


class FrontLine(NamedTuple):
  """The settings of a method, each a mean over seeds (x, y).

  number:   the index of the method in the palette
  on_front: of a point, whether no other of the method is better in both
  """

  name: str
  number: int
  points: Sequence[tuple[float, float]]
  on_front: Sequence[bool]


def draw_fronts(
  theme: Theme,
  axes: Axes,
  *,
  lines: Sequence[FrontLine],
  base: tuple[float, float],
  x_label: str,
  y_label: str,
  percent: bool,
  more_is_better: bool,
) -> None:
  """Draws a goal over another measure, with a line through each front.

  Settings that another of their method beats in both are pale. A star is the
  reference of the areas.
  """
  for line in lines:
    color, marker = color_of(theme, line.number), marker_of(line.number)
    for (x, y), shines in zip(line.points, line.on_front, strict=True):
      axes.plot(
        *(x, y, marker),
        color=color,
        markersize=6.5 if shines else 5,
        alpha=1.0 if shines else 0.35,
        markeredgewidth=0,
        zorder=3,
      )
    best = [p for p, on in zip(line.points, line.on_front, strict=True) if on]
    corners = staircase(best, rising=not more_is_better)
    axes.plot(*corners.T, color=color, linewidth=1.3, zorder=2)
    axes.plot([], [], marker, color=color, markersize=5.5, label=line.name)
  axes.plot(*base, '*', color=theme.base, markersize=11, zorder=4)
  axes.margins(0.12, 0.12)
  axes.set_xlabel(x_label)
  axes.set_ylabel(y_label)
  if percent:
    as_percent(axes.yaxis)
  axes.legend(loc='best', handlelength=1.0, labelcolor='linecolor')
