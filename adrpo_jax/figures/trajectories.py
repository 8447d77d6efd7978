"""The path of a run in the plane of reward and another measure."""

from typing import NamedTuple

import numpy as np

from adrpo_jax.figures.style import Axes, Theme


class PlanePath(NamedTuple):
  """Points in a plane in the order of their steps, all [K]."""

  steps: np.ndarray
  x: np.ndarray
  y: np.ndarray


def draw_trajectory(
  theme: Theme,
  axes: Axes,
  *,
  evaluations: PlanePath,
  errors: tuple[np.ndarray | None, np.ndarray | None],
  training: PlanePath,
  x_label: str,
  y_label: str,
) -> None:
  """Draws evaluations as points with errors, training as small pale points.

  The color goes from the base (gray) to the latest step (blue). One of the two
  paths may be empty. errors: of the evaluations, along x and y.
  """
  from matplotlib.colors import LinearSegmentedColormap, Normalize
  from matplotlib.ticker import MaxNLocator

  all_steps = np.concatenate([evaluations.steps, training.steps])
  shades = {
    'cmap': LinearSegmentedColormap.from_list(
      'time', [theme.base, theme.tuned]
    ),
    'norm': Normalize(all_steps.min(), all_steps.max()),
  }
  axes.scatter(
    training.x,
    training.y,
    c=training.steps,
    s=6,
    alpha=0.45,
    linewidths=0,
    zorder=1.5,
    **shades,
  )
  steps, x, y = evaluations
  axes.errorbar(
    x,
    y,
    xerr=errors[0],
    yerr=errors[1],
    fmt='none',
    ecolor=theme.grid,
    elinewidth=1.2,
    zorder=1,
  )
  axes.plot(x, y, color=theme.muted, linewidth=1.0, alpha=0.7, zorder=2)
  axes.scatter(
    x,
    y,
    c=steps,
    s=[62 if i in (0, len(x) - 1) else 26 for i in range(len(x))],
    edgecolors=theme.surface,
    linewidths=1.0,
    zorder=3,
    **shades,
  )
  _name_ends(theme, axes, evaluations if len(x) else training)
  axes.set_xlabel(x_label)
  axes.set_ylabel(y_label)
  axes.margins(0.14, 0.18)
  axes.xaxis.set_major_locator(MaxNLocator(5))
  axes.yaxis.set_major_locator(MaxNLocator(5))


def _name_ends(theme: Theme, axes: Axes, path: PlanePath) -> None:
  """Writes the first and the last step beside the ends of a path."""
  for i in sorted({0, len(path.steps) - 1}):
    side = 1 if path.y[i] >= np.mean(path.y) else -1
    axes.annotate(
      'base' if path.steps[i] == 0 else f'step {path.steps[i]:g}',
      (path.x[i], path.y[i]),
      xytext=(0, 8 * side),
      textcoords='offset points',
      ha='center',
      va='bottom' if side > 0 else 'top',
      fontsize=8,
      color=theme.ink,
    )
