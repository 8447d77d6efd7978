"""Histograms over time as one picture: where the β of the samples lie.

Steps log histograms with edges of their own; here they are brought onto common
edges, mass preserved, and long runs averaged into a bounded number of columns.
"""

from typing import NamedTuple

import numpy as np

from adrpo_jax.figures.curves import Points, few_ticks, level
from adrpo_jax.figures.style import Axes, Theme
from adrpo_jax.stats.smoothing import running_mean, smoothing_window

COLUMNS = 80
ROWS = 36


class HeatMap(NamedTuple):
  """Shares of samples by value and time.

  shares [rows, columns], each column adding up to 1; edges [rows + 1];
  steps [columns], the step in the middle of each column.
  """

  shares: np.ndarray
  edges: np.ndarray
  steps: np.ndarray


def rebinned(
  edges: np.ndarray, counts: np.ndarray, onto: np.ndarray
) -> np.ndarray:
  """A histogram on other edges that cover its own; counts are preserved.

  Within a bin the mass is taken as even.
  """
  mass = np.concatenate([[0.0], np.cumsum(counts)])
  return np.diff(np.interp(onto, edges, mass))


def heat_map(histograms: list[dict], steps: list[int]) -> HeatMap | None:
  """Histograms {"edges", "counts"} over steps -> one map, or None if empty.

  Long runs are averaged into at most COLUMNS columns.
  """
  kept = [
    (step, np.asarray(h['edges'], float), np.asarray(h['counts'], float))
    for step, h in zip(steps, histograms, strict=True)
    if np.isfinite(h['edges']).all() and sum(h['counts']) > 0
  ]
  if not kept:
    return None
  low = min(edges[0] for _, edges, _ in kept)
  high = max(edges[-1] for _, edges, _ in kept)
  margin = 0.02 * (high - low) or 0.5 * max(abs(high), 0.1)
  onto = np.linspace(low - margin, high + margin, ROWS + 1)
  columns = np.stack(
    [rebinned(edges, counts / counts.sum(), onto) for _, edges, counts in kept],
    axis=1,
  )
  groups = np.array_split(np.arange(len(kept)), min(len(kept), COLUMNS))
  when = np.array([step for step, _, _ in kept], float)
  return HeatMap(
    np.stack([columns[:, group].mean(1) for group in groups], axis=1),
    onto,
    np.array([when[group].mean() for group in groups]),
  )


def draw_heat_map(
  theme: Theme, axes: Axes, *, data: HeatMap, mean: Points
) -> None:
  """β of the samples over time: darker where more of them lie."""
  from matplotlib.colors import LinearSegmentedColormap, PowerNorm

  colors = LinearSegmentedColormap.from_list(
    'share', [theme.surface, theme.tuned]
  )
  axes.grid(False)
  axes.pcolormesh(
    data.steps,
    (data.edges[1:] + data.edges[:-1]) / 2,
    data.shares,
    cmap=colors,
    norm=PowerNorm(0.5, vmin=0.0, vmax=data.shares.max()),
    shading='nearest',
    rasterized=True,
  )
  if len(mean.values):
    smooth = running_mean(mean.values, smoothing_window(len(mean.values)))
    axes.plot(mean.steps, smooth, color=theme.held_out, linewidth=1.4)
  if data.edges[0] < 0 < data.edges[-1]:
    level(theme, axes, 0.0, 'released below 0', offset=-9)
  few_ticks(axes)
  axes.set_xlabel('step')
  axes.set_ylabel('β of a sample')
