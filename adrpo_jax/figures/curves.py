"""The figures of one run: functions draw(theme, axes) over plain arrays.

A figure has no title, because the page writes it. The base is gray, the tuned
model blue, and measurements on held-out prompts are orange.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.figures.style import Axes, Theme
from adrpo_jax.stats.smoothing import running_mean, smoothing_window

CURVE = (3.9, 2.5)  # inches: three side by side on a wide page
PANEL = (4.3, 3.0)  # inches: two side by side


class Points(NamedTuple):
  """Values over steps [K], with standard errors if there are any."""

  steps: np.ndarray
  values: np.ndarray
  errors: np.ndarray | None = None


def as_percent(axis: Any) -> None:
  """Formats the ticks of shares in percent."""
  from matplotlib.ticker import FuncFormatter

  axis.set_major_formatter(FuncFormatter(lambda v, _: f'{100 * v:g} %'))


def as_logarithm(axes: Axes) -> None:
  """Sets a logarithmic scale whose ticks are plain numbers, not powers."""
  from matplotlib.ticker import FuncFormatter, NullFormatter

  axes.set_yscale('log', nonpositive='mask')
  axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f'{v:g}'))
  axes.yaxis.set_minor_formatter(NullFormatter())


def few_ticks(axes: Axes) -> None:
  """Sets at most five intervals per axis, and integer steps along x."""
  from matplotlib.ticker import MaxNLocator

  axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
  if axes.get_yscale() == 'linear':
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _marked_points(axes: Axes, theme: Theme, points: Points) -> None:
  axes.errorbar(
    points.steps,
    points.values,
    yerr=points.errors,
    color=theme.held_out,
    ecolor=theme.held_out,
    marker='o',
    markersize=4.5,
    markeredgecolor=theme.surface,
    markeredgewidth=0.8,
    linewidth=1.0,
    elinewidth=1.2,
    zorder=4,
  )


def draw_curve(
  theme: Theme,
  axes: Axes,
  *,
  training: Points,
  held_out: Points | None = None,
  line: tuple[float, str] | None = None,
  percent: bool = False,
) -> None:
  """Draws a metric over steps: each step pale, the running mean bold.

  Evaluations are points with their standard errors. `line` is the height of a
  dashed line and its name. A positive metric that spans more than two decades
  gets a logarithmic scale.
  """
  steps, values = training.steps, training.values
  if len(values):
    smooth = running_mean(values, smoothing_window(len(values)))
    axes.plot(steps, values, color=theme.tuned, alpha=0.28, linewidth=0.9)
    axes.plot(steps, smooth, color=theme.tuned, zorder=3)
  if held_out is not None and len(held_out.values):
    _marked_points(axes, theme, held_out)
  if line is not None:
    level(theme, axes, *line)
  if len(values) and min(values) > 0 and max(values) > 100 * min(values):
    as_logarithm(axes)
  if percent:
    as_percent(axes.yaxis)
  few_ticks(axes)
  axes.set_xlabel('step')
  axes.margins(x=0.02)


def level(
  theme: Theme, axes: Axes, height: float, name: str, offset: float = 3
) -> None:
  """Draws a dashed horizontal line across a panel, with its name.

  The name is `offset` points above the line (below it if negative). It has an
  outline, so that it can be read on colors.
  """
  from matplotlib.patheffects import withStroke

  axes.axhline(height, color=theme.muted, linewidth=1.0, linestyle=(0, (4, 3)))
  axes.annotate(
    name,
    (1, height),
    xycoords=('axes fraction', 'data'),
    xytext=(-2, offset),
    textcoords='offset points',
    ha='right',
    color=theme.muted,
    fontsize=7.5,
    path_effects=[withStroke(linewidth=2.5, foreground=theme.surface)],
  )


def draw_buckets(
  theme: Theme, axes: Axes, *, steps: np.ndarray, values: np.ndarray
) -> None:
  """Draws W2 by noise-level bucket [K, buckets] over steps [K]."""
  count = values.shape[1]
  window = smoothing_window(len(steps))
  lines = [running_mean(values[:, i], window) for i in range(count)]
  for i, line in enumerate(lines):
    axes.plot(steps, line, color=theme.ramp[i * len(theme.ramp) // count])
  few_ticks(axes)
  axes.set_xlabel('step')
  axes.set_ylabel('W2 to the reference')
  axes.set_ylim(bottom=min(0.0, float(np.min(lines))))
  axes.margins(x=0.02)
  names = [f'σ {i / count:.2g}–{(i + 1) / count:.2g}' for i in range(count)]
  _name_ends(theme, axes, names, [Points(steps, line) for line in lines])


def draw_contrast(
  theme: Theme, axes: Axes, *, lines: dict[str, Points], label: str
) -> None:
  """Draws a good line in green and a poor line in red, named at their ends.

  lines: name -> values of each step, the good line first. The values are pale,
  their running mean is bold.
  """
  ends = []
  for line, color in zip(lines.values(), (theme.good, theme.bad), strict=True):
    smooth = running_mean(line.values, smoothing_window(len(line.values)))
    axes.plot(line.steps, line.values, color=color, alpha=0.25, linewidth=0.9)
    axes.plot(line.steps, smooth, color=color, zorder=3)
    ends.append(Points(line.steps, smooth))
  few_ticks(axes)
  axes.set_xlabel('step')
  axes.set_ylabel(label)
  axes.margins(x=0.02)
  _name_ends(theme, axes, list(lines), ends)


def _name_ends(
  theme: Theme, axes: Axes, names: list[str], lines: list[Points]
) -> None:
  """Writes names after the ends of lines, in the order of the lines.

  Names that would overlap are moved apart.
  """
  low, high = axes.get_ylim()
  ends = [float(line.values[-1]) for line in lines]
  heights = spread_apart(ends, 0.07 * (high - low))
  for name, line, height in zip(names, lines, heights, strict=True):
    axes.annotate(
      name,
      (line.steps[-1], height),
      xytext=(7, 0),
      textcoords='offset points',
      va='center',
      fontsize=7.5,
      color=theme.muted,
      annotation_clip=False,
    )


def spread_apart(heights: list[float], gap: float) -> list[float]:
  """Moves heights apart to at least `gap`, without changing their order."""
  order = np.argsort(heights, kind='stable')
  moved = np.array(heights, float)
  for below, above in itertools.pairwise(order):
    moved[above] = max(moved[above], moved[below] + gap)
  return list(moved - (moved - np.array(heights)).mean())


def draw_categories(
  theme: Theme,
  axes: Axes,
  *,
  names: list[str],
  base: list[float],
  tuned: list[float],
) -> None:
  """Draws success by category: a gray bar for base, a blue one for tuned."""
  rows = np.arange(len(names))[::-1]
  for offset, values, color in (
    (0.19, base, theme.base),
    (-0.19, tuned, theme.tuned),
  ):
    axes.barh(rows + offset, values, height=0.34, color=color)
    for row, value in zip(rows, values, strict=True):
      if np.isfinite(value):
        axes.annotate(
          f'{100 * value:.0f}',
          (value, row + offset),
          xytext=(4, 0),
          textcoords='offset points',
          va='center',
          fontsize=7.5,
          color=theme.muted,
        )
  axes.set_yticks(rows, names, color=theme.ink)
  axes.set_xlim(0, 1.04)
  axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
  axes.grid(axis='y', visible=False)
  as_percent(axes.xaxis)


def draw_category_scores(
  theme: Theme,
  axes: Axes,
  *,
  names: list[str],
  base: list[float],
  tuned: list[float],
) -> None:
  """Draws scores by category as points, on an axis of their own.

  A score has no natural zero, so that the length of a bar would say nothing.
  """
  rows = np.arange(len(names))[::-1]
  axes.hlines(rows, base, tuned, color=theme.base, linewidth=1.2, zorder=1)
  for values, color in ((base, theme.base), (tuned, theme.tuned)):
    axes.scatter(values, rows, s=36, color=color, zorder=2)
  axes.set_yticks(rows, names, color=theme.ink)
  axes.margins(x=0.08, y=0.12)
  axes.locator_params(axis='x', nbins=5)


def draw_seconds(
  theme: Theme,
  axes: Axes,
  *,
  steps: np.ndarray,
  parts: dict[str, np.ndarray],
) -> None:
  """Draws the seconds of a step, stacked by stage. parts: name -> [K]."""
  window = smoothing_window(len(steps))
  colors = [theme.ramp[2], theme.ramp[0], theme.ramp[1], theme.base]
  smooth = [running_mean(values, window) for values in parts.values()]
  axes.stackplot(
    steps,
    smooth,
    colors=colors,
    labels=list(parts),
    edgecolor=theme.surface,
    lw=1.0,
  )
  axes.legend(
    loc='lower left',
    bbox_to_anchor=(0, 1.0),
    ncols=len(parts),
    handlelength=0.9,
    handleheight=0.9,
    columnspacing=1.2,
    borderaxespad=0.0,
    labelcolor=theme.muted,
  )
  few_ticks(axes)
  axes.set_xlabel('step')
  axes.set_ylabel('seconds')
  axes.margins(x=0.0)
