"""A heat map of histograms over time: the distribution of β over the samples.

Each step logs a histogram with its own edges. This module resamples them onto
common edges with preserved mass, and averages long runs into a limited number
of columns.
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

  shares: [rows, columns], each column sums to 1
  edges:  [rows + 1]
  steps:  [columns], the step in the middle of each column
  """

  shares: np.ndarray
  edges: np.ndarray
  steps: np.ndarray


def rebin(
  edges: np.ndarray, counts: np.ndarray, onto: np.ndarray
) -> np.ndarray:
  """Returns a histogram on other edges, which must cover its own edges.

  The total count is preserved. The mass within a bin counts as uniform.
  """
  mass = np.concatenate([[0.0], np.cumsum(counts)])
  return np.diff(np.interp(onto, edges, mass))


def heat_map(histograms: list[dict], steps: list[int]) -> HeatMap | None:
  """Returns the heat map of histograms {"edges", "counts"}, None if empty.

  Long runs are averaged into at most COLUMNS columns.
  """
  finite = [
    (step, np.asarray(h['edges'], float), np.asarray(h['counts'], float))
    for step, h in zip(steps, histograms, strict=True)
    if np.isfinite(h['edges']).all() and sum(h['counts']) > 0
  ]
  if not finite:
    return None
  low = min(edges[0] for _, edges, _ in finite)
  high = max(edges[-1] for _, edges, _ in finite)
  margin = 0.02 * (high - low) or 0.5 * max(abs(high), 0.1)
  onto = np.linspace(low - margin, high + margin, ROWS + 1)
  columns = np.stack(
    [rebin(edges, counts / counts.sum(), onto) for _, edges, counts in finite],
    axis=1,
  )
  groups = np.array_split(np.arange(len(finite)), min(len(finite), COLUMNS))
  when = np.array([step for step, _, _ in finite], float)
  return HeatMap(
    np.stack([columns[:, group].mean(1) for group in groups], axis=1),
    onto,
    np.array([when[group].mean() for group in groups]),
  )


def draw_heat_map(
  theme: Theme, axes: Axes, *, data: HeatMap, mean: Points
) -> None:
  """Draws the β of the samples over time; darker means more samples."""
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
    level(theme, axes, 0.0, 'β < 0: pushed away', offset=-9)
  few_ticks(axes)
  axes.set_xlabel('step')
  axes.set_ylabel('β of a sample')
