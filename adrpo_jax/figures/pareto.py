"""Pareto plots of methods, and the color and the marker of each."""

from collections.abc import Sequence
import itertools
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.figures.curves import as_percent
from adrpo_jax.figures.style import MARKERS, Axes, Theme

PLOT = (4.9, 3.9)  # inches
POINTS_AWAY = 9  # of a label from its mark


class Place(NamedTuple):
  """A method in a plane: its mean, errors, and its seeds' own points [K].

  number: its place in the palette; the base has none
  """

  name: str
  number: int | None
  x: float
  y: float
  x_error: float | None
  y_error: float | None
  seeds_x: Sequence[float]
  seeds_y: Sequence[float]
  on_front: bool


def color_of(theme: Theme, number: int | None) -> str:
  """A method's color; methods beyond the palette start it again."""
  if number is None:
    return theme.base
  return theme.methods[number % len(theme.methods)]


def marker_of(number: int | None) -> str:
  """A method's marker, so that color is not all that tells methods apart."""
  return '*' if number is None else MARKERS[number % len(MARKERS)]


def draw_places(
  theme: Theme,
  axes: Axes,
  *,
  places: Sequence[Place],
  x_label: str,
  more_is_better: bool,
) -> None:
  """Success over another measure: every seed pale, means with their errors.

  A dotted staircase joins the Pareto front; names on it are set in bold.
  """
  for place in places:
    color = color_of(theme, place.number)
    marker = marker_of(place.number)
    axes.scatter(
      place.seeds_x,
      place.seeds_y,
      s=16,
      marker=marker,
      color=color,
      alpha=0.4,
      linewidths=0,
      zorder=2,
    )
    axes.errorbar(
      place.x,
      place.y,
      xerr=place.x_error,
      yerr=place.y_error,
      color=color,
      elinewidth=1.1,
      marker=marker,
      markersize=11 if place.number is None else 7.5,
      markeredgecolor=theme.surface,
      markeredgewidth=0.9,
      zorder=4,
    )
  axes.margins(0.16, 0.14)
  axes.set_xlabel(x_label)
  axes.set_ylabel('success on held-out prompts')
  as_percent(axes.yaxis)
  corners = staircase(
    [(p.x, p.y) for p in places if p.on_front], rising=not more_is_better
  )
  axes.plot(
    *corners.T,
    color=theme.muted,
    linewidth=1.1,
    linestyle=(0, (1, 2.2)),
    zorder=1,
  )
  _write_names(theme, axes, places, corners)


def staircase(
  front: Sequence[tuple[float, float]], *, rising: bool
) -> np.ndarray:
  """Corners [K, 2] of the line between what a front reaches and what not.

  Where less of x is better the line rises to the right: each point is the best
  until the next. Where more is, each point is the best from the one before.
  """
  points = sorted(front)
  corners = points[:1]
  for (x0, y0), (x1, y1) in itertools.pairwise(points):
    corners += [(x1, y0) if rising else (x0, y1), (x1, y1)]
  return np.array(corners, float).reshape(-1, 2)


Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels


def _boxes_of(
  axes: Axes, places: Sequence[Place], corners: np.ndarray
) -> list[Box]:
  """What names should keep clear of: means, seeds and the staircase."""
  unit = axes.figure.dpi / 72  # pixels of a point
  boxes: list[Box] = []
  for place in places:
    x, y = axes.transData.transform((place.x, place.y))
    boxes.append((x - 5 * unit, y - 5 * unit, x + 5 * unit, y + 5 * unit))
    for seed in zip(place.seeds_x, place.seeds_y, strict=True):
      x, y = axes.transData.transform(seed)
      boxes.append((x - 2 * unit, y - 2 * unit, x + 2 * unit, y + 2 * unit))
  pixels = axes.transData.transform(corners) if len(corners) else corners
  for ends in itertools.pairwise(pixels):
    low, high = np.min(ends, axis=0) - unit, np.max(ends, axis=0) + unit
    boxes.append((low[0], low[1], high[0], high[1]))
  return boxes


def _write_names(
  theme: Theme, axes: Axes, places: Sequence[Place], corners: np.ndarray
) -> None:
  """Writes names beside marks, each on the side where it meets the least."""
  axes.figure.draw_without_rendering()  # the layout, hence the pixels
  renderer = axes.figure.canvas.get_renderer()
  frame = tuple(axes.get_window_extent(renderer).extents)
  taken = _boxes_of(axes, places, corners)
  for place in places:
    label = axes.annotate(
      place.name,
      (place.x, place.y),
      xytext=(0, 0),
      textcoords='offset points',
      fontsize=8,
      fontweight='bold' if place.on_front else 'normal',
      color=(
        theme.muted if place.number is None else color_of(theme, place.number)
      ),
      zorder=5,
    )
    tried: list[tuple[float, int, Box]] = []
    for index in range(len(SIDES)):
      _hang(label, index)
      box = tuple(label.get_window_extent(renderer).extents)
      cost = shared_area(box, taken) + 4 * _area(box)
      tried.append((cost - 4 * shared_area(box, [frame]), index, box))
    _, best, box = min(tried)
    _hang(label, best)
    taken.append(box)


def _hang(label: Any, index: int) -> None:
  dx, dy, ha, va = SIDES[index]
  label.set(position=(dx * POINTS_AWAY, dy * POINTS_AWAY), ha=ha, va=va)


SIDES = (
  (1.0, 0.0, 'left', 'center'),
  (-1.0, 0.0, 'right', 'center'),
  (0.0, 1.0, 'center', 'bottom'),
  (0.0, -1.0, 'center', 'top'),
  (0.7, 0.7, 'left', 'bottom'),
  (-0.7, 0.7, 'right', 'bottom'),
  (0.7, -0.7, 'left', 'top'),
  (-0.7, -0.7, 'right', 'top'),
)  # shares of POINTS_AWAY, and how the label hangs there


def _area(box: Box) -> float:
  return (box[2] - box[0]) * (box[3] - box[1])


def shared_area(box: Box, others: Sequence[Box]) -> float:
  """The area that a box shares with others, counted for each."""
  x0, y0, x1, y1 = box
  return sum(
    max(0.0, min(x1, other[2]) - max(x0, other[0]))
    * max(0.0, min(y1, other[3]) - max(y0, other[1]))
    for other in others
  )
