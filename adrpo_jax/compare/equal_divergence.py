"""Compares methods at equal divergence from the base.

After the same number of samples, a weakly regularized method is further from
the base than others. To compare methods fairly, this module reads the reward
and the entropy of each run at the step where its divergence first reaches a
given level.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import math
from typing import NamedTuple

import numpy as np

from adrpo_jax.report.run_record import Record, RunRecord, series
from adrpo_jax.stats.estimates import Estimate, estimate
from adrpo_jax.stats.smoothing import running_mean, smoothing_window

MEASURES = ('reward', 'entropy')  # read where the divergence reaches a level
MIN_EVALUATIONS = 4  # with the base; fewer points describe a run too coarsely
GRID_POINTS = 60  # of a curve over the divergence


class RunCurve(NamedTuple):
  """The measures of one run in the order of its steps.

  steps:  [K]
  values: 'divergence', 'reward' and 'entropy' -> [K], if the run has them
  """

  steps: np.ndarray
  values: dict[str, np.ndarray]

  @property
  def usable(self) -> bool:
    """True if the curve has both a divergence and a reward."""
    return {'divergence', 'reward'} <= set(self.values)

  @property
  def start(self) -> float:
    """The divergence of the first point. The curve must be `usable`."""
    return float(self.values['divergence'][0])

  @property
  def reach(self) -> float:
    """The largest divergence. The curve must be `usable`."""
    return float(self.values['divergence'].max())


class EqualDivergence(NamedTuple):
  """The measures of methods where their runs first reach some divergences.

  source: the key in CURVE_SOURCES
  levels: divergences in rising order, [L]
  curves: method -> the usable curves of its runs
  values: 'reward', 'entropy' -> method -> an estimate for each level. An
          estimate is None if no run of the method reaches the level, and has
          fewer values than the method has runs if only some reach it
  """

  source: str
  levels: tuple[float, ...]
  curves: dict[str, list[RunCurve]]
  values: dict[str, dict[str, tuple[Estimate | None, ...]]]


def training_curve(run: RunRecord) -> RunCurve:
  """Returns the curve of training steps, smoothed over a tenth of them.

  Leaves out steps that train on stored samples, because those say nothing about
  the policy. Only steps that sample from the policy log a diversity.
  """
  on_policy = [
    line
    for line in run.metrics
    if any(name.startswith('diversity_') for name in line)
  ]
  steps, values = _measured(on_policy)
  window = smoothing_window(len(steps))
  smooth = {name: _smooth(column, window) for name, column in values.items()}
  return RunCurve(steps, smooth)


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
  """Returns a running mean whose window is narrower at the first points.

  The divergence can grow fast within the first window, so a full window there
  would move the start of the curve away from the first step.
  """
  smooth = running_mean(values, window)
  for i in range(min(window // 2, len(values))):
    smooth[i] = values[: 2 * i + 1].mean()
  return smooth


def evaluation_curve(run: RunRecord) -> RunCurve:
  """Returns the curve of evaluations, empty if below MIN_EVALUATIONS."""
  curve = _measured(run.evaluations)
  return curve if len(curve.steps) >= MIN_EVALUATIONS else _measured([])


CURVE_SOURCES: dict[str, Callable[[RunRecord], RunCurve]] = {
  'training': training_curve,
  'held_out': evaluation_curve,
}


def _measured(records: Iterable[Record]) -> RunCurve:
  """Returns the curve of records, without those that lack a measure.

  Measures that no record has are left out.
  """
  records = list(records)
  names = [n for n in ('divergence', *MEASURES) if len(series(records, n)[1])]
  whole = [r for r in records if all(len(series([r], n)[1]) for n in names)]
  if not whole:
    return RunCurve(np.zeros(0), {})
  return RunCurve(
    np.array([record['step'] for record in whole], float),
    {name: series(whole, name)[1] for name in names},
  )


def values_at(
  curve: RunCurve, levels: Sequence[float], name: str
) -> np.ndarray:
  """Returns a measure where the divergence first reaches each level. [L]

  Interpolates linearly between two points. The value is NaN if the curve never
  reaches the level or starts beyond it.
  """
  divergence, values = curve.values['divergence'], curve.values[name]
  result = np.full(len(levels), np.nan)
  for i, level in enumerate(levels):
    beyond = np.flatnonzero(divergence >= level)
    if not len(beyond):
      continue
    k = beyond[0]
    if divergence[k] == level:
      result[i] = values[k]
    elif k:
      share = (level - divergence[k - 1]) / (divergence[k] - divergence[k - 1])
      result[i] = values[k - 1] + share * (values[k] - values[k - 1])
  return result


def round_levels(low: float, high: float) -> list[float]:
  """Returns 1, 2 and 5 times powers of ten, above low and up to high.

  Covers the four decades below and including that of `high`.
  """
  if high <= 0:
    return []
  top = math.floor(math.log10(high))
  powers = [f'{m}e{top + up}' for up in range(-3, 2) for m in (1, 2, 5)]
  return [level for level in map(float, powers) if low < level <= high]


def shared_levels(
  curves: Mapping[str, Sequence[RunCurve]],
) -> tuple[float, ...]:
  """Returns the divergences at which methods are compared, in rising order.

  These are the three largest round numbers that every method reaches, and the
  two largest that half of the methods reach; with the first kind alone, one
  method that stays close to its base would limit the comparison of the others.
  A method reaches a level if half of its runs do.
  """
  if not curves:
    return ()
  low = max(
    _reached_by_half([curve.start for curve in runs])
    for runs in curves.values()
  )
  reaches = [
    _reached_by_half([curve.reach for curve in runs])
    for runs in curves.values()
  ]
  by_all = round_levels(low, min(reaches))
  by_half = round_levels(low, _reached_by_half(reaches))
  return tuple(sorted({*by_all[-3:], *by_half[-2:]}))


def _reached_by_half(values: Sequence[float]) -> float:
  """Returns the largest number that at least half of the values reach."""
  return sorted(values)[len(values) // 2]


def equal_divergences(
  runs: Mapping[str, Sequence[RunRecord]],
) -> tuple[EqualDivergence, ...]:
  """Returns a comparison for each source of curves that has levels."""
  comparisons = [_equal_divergence(source, runs) for source in CURVE_SOURCES]
  return tuple(at for at in comparisons if at.levels)


def _equal_divergence(
  source: str, runs: Mapping[str, Sequence[RunRecord]]
) -> EqualDivergence:
  curve_of = CURVE_SOURCES[source]
  curves = {
    method: [curve for run in of_method if (curve := curve_of(run)).usable]
    for method, of_method in runs.items()
  }
  curves = {method: usable for method, usable in curves.items() if usable}
  levels = shared_levels(curves)
  return EqualDivergence(
    source,
    levels,
    curves,
    {
      name: {
        method: _estimates(of_method, levels, name)
        for method, of_method in curves.items()
      }
      for name in MEASURES
      if any(name in c.values for group in curves.values() for c in group)
    },
  )


def _estimates(
  curves: Sequence[RunCurve], levels: Sequence[float], name: str
) -> tuple[Estimate | None, ...]:
  """Returns an estimate over runs for each level."""
  rows = [values_at(c, levels, name) for c in curves if name in c.values]
  return tuple(
    estimate([float(row[i]) for row in rows]) for i in range(len(levels))
  )


def mean_over_divergence(
  curves: Sequence[RunCurve], name: str
) -> tuple[np.ndarray, list[Estimate]]:
  """Returns (divergences [K], estimates) on the range that all runs share.

  The divergences are evenly spaced in their square root, because a divergence
  is a squared distance. Both are empty if the runs share no range.
  """
  low = max(0.0, *(curve.start for curve in curves))
  high = min(curve.reach for curve in curves)
  if low >= high:
    return np.zeros(0), []
  grid = np.linspace(math.sqrt(low), math.sqrt(high), GRID_POINTS) ** 2
  grid[0], grid[-1] = low, high
  estimates = _estimates(curves, [float(level) for level in grid], name)
  present = [i for i, value in enumerate(estimates) if value is not None]
  return grid[present], [value for value in estimates if value is not None]
