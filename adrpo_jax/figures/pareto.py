"""Pareto plots of methods, and the color and the marker of each method."""

from collections.abc import Sequence
import itertools
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.figures.curves import as_percent
from adrpo_jax.figures.style import MARKERS, Axes, Theme

PLOT = (4.9, 3.9)  # inches
LABEL_DISTANCE = 9  # points between a mark and its label


class MethodPoint(NamedTuple):
  """A method in a plane: its mean, its errors, and the points of its seeds [K].

  number: the index of the method in the palette, None for the base
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
  """Returns the color of a method. Methods beyond the palette reuse it."""
  if number is None:
    return theme.base
  return theme.methods[number % len(theme.methods)]


def marker_of(number: int | None) -> str:
  """Returns the marker of a method, so that color is not the only mark."""
  return '*' if number is None else MARKERS[number % len(MARKERS)]


def draw_method_points(
  theme: Theme,
  axes: Axes,
  *,
  points: Sequence[MethodPoint],
  x_label: str,
  y_label: str,
  percent: bool,
  more_is_better: bool,
) -> None:
  """Draws a goal over another measure: seeds pale, means with their errors.

  A dotted staircase is the Pareto front. Names of methods on it are bold.
  """
  for point in points:
    color = color_of(theme, point.number)
    marker = marker_of(point.number)
    axes.scatter(
      point.seeds_x,
      point.seeds_y,
      s=16,
      marker=marker,
      color=color,
      alpha=0.4,
      linewidths=0,
      zorder=2,
    )
    axes.errorbar(
      point.x,
      point.y,
      xerr=point.x_error,
      yerr=point.y_error,
      color=color,
      elinewidth=1.1,
      marker=marker,
      markersize=11 if point.number is None else 7.5,
      markeredgecolor=theme.surface,
      markeredgewidth=0.9,
      zorder=4,
    )
  axes.margins(0.16, 0.14)
  axes.set_xlabel(x_label)
  axes.set_ylabel(y_label)
  if percent:
    as_percent(axes.yaxis)
  corners = staircase(
    [(p.x, p.y) for p in points if p.on_front], rising=not more_is_better
  )
  axes.plot(
    *corners.T,
    color=theme.muted,
    linewidth=1.1,
    linestyle=(0, (1, 2.2)),
    zorder=1,
  )
  _write_names(theme, axes, points, corners)


def staircase(
  front: Sequence[tuple[float, float]], *, rising: bool
) -> np.ndarray:
  """Returns the corners [K, 2] of the line that bounds the Pareto front.

  With `rising` (less of x is better), a point is the best from its x to the
  next point. Otherwise (more of x is better), it is the best from the previous
  point to its x.
  """
  points = sorted(front)
  corners = points[:1]
  for (x0, y0), (x1, y1) in itertools.pairwise(points):
    corners += [(x1, y0) if rising else (x0, y1), (x1, y1)]
  return np.array(corners, float).reshape(-1, 2)


Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels


def _boxes_of(
  axes: Axes, points: Sequence[MethodPoint], corners: np.ndarray
) -> list[Box]:
  """Returns boxes that names should not cover: means, seeds, the staircase."""
  unit = axes.figure.dpi / 72  # pixels of a point
  boxes: list[Box] = []
  for point in points:
    x, y = axes.transData.transform((point.x, point.y))
    boxes.append((x - 5 * unit, y - 5 * unit, x + 5 * unit, y + 5 * unit))
    for seed in zip(point.seeds_x, point.seeds_y, strict=True):
      x, y = axes.transData.transform(seed)
      boxes.append((x - 2 * unit, y - 2 * unit, x + 2 * unit, y + 2 * unit))
  pixels = axes.transData.transform(corners) if len(corners) else corners
  for ends in itertools.pairwise(pixels):
    low, high = np.min(ends, axis=0) - unit, np.max(ends, axis=0) + unit
    boxes.append((low[0], low[1], high[0], high[1]))
  return boxes


def _write_names(
  theme: Theme, axes: Axes, points: Sequence[MethodPoint], corners: np.ndarray
) -> None:
  """Writes each name on the side of its mark where it covers the least."""
  axes.figure.draw_without_rendering()  # the layout, hence the pixels
  renderer = axes.figure.canvas.get_renderer()
  frame = tuple(axes.get_window_extent(renderer).extents)
  occupied = _boxes_of(axes, points, corners)
  for point in points:
    label = axes.annotate(
      point.name,
      (point.x, point.y),
      xytext=(0, 0),
      textcoords='offset points',
      fontsize=8,
      fontweight='bold' if point.on_front else 'normal',
      color=(
        theme.muted if point.number is None else color_of(theme, point.number)
      ),
      zorder=5,
    )
    candidates: list[tuple[float, int, Box]] = []
    for index in range(len(SIDES)):
      _hang(label, index)
      box = tuple(label.get_window_extent(renderer).extents)
      cost = shared_area(box, occupied) + 4 * _area(box)
      candidates.append((cost - 4 * shared_area(box, [frame]), index, box))
    _, best, box = min(candidates)
    _hang(label, best)
    occupied.append(box)


def _hang(label: Any, index: int) -> None:
  dx, dy, ha, va = SIDES[index]
  label.set(position=(dx * LABEL_DISTANCE, dy * LABEL_DISTANCE), ha=ha, va=va)


SIDES = (
  (1.0, 0.0, 'left', 'center'),
  (-1.0, 0.0, 'right', 'center'),
  (0.0, 1.0, 'center', 'bottom'),
  (0.0, -1.0, 'center', 'top'),
  (0.7, 0.7, 'left', 'bottom'),
  (-0.7, 0.7, 'right', 'bottom'),
  (0.7, -0.7, 'left', 'top'),
  (-0.7, -0.7, 'right', 'top'),
)  # shares of LABEL_DISTANCE, and the alignment of the label


def _area(box: Box) -> float:
  return (box[2] - box[0]) * (box[3] - box[1])


def shared_area(box: Box, others: Sequence[Box]) -> float:
  """Returns the area that a box shares with others, summed over them."""
  x0, y0, x1, y1 = box
  return sum(
    max(0.0, min(x1, other[2]) - max(x0, other[0]))
    * max(0.0, min(y1, other[3]) - max(y0, other[1]))
    for other in others
  )
