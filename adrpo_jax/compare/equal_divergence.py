"""Methods at equal divergence: what a run has where it first gets so far.

At equal samples a method that is held back less stands further from the base.
The ways of the runs, reward and entropy over divergence, say what each of them
had where it stood as far away as the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import math
from typing import NamedTuple

import numpy as np

from adrpo_jax.report.run_record import Record, RunRecord, series
from adrpo_jax.stats.estimates import Estimate, estimate
from adrpo_jax.stats.smoothing import running_mean, smoothing_window

READ = ('reward', 'entropy')  # where the divergence reaches a level
FEWEST = 4  # evaluations with the base; with fewer, lines stand for the way
GRID = 60  # points of a curve over the divergence


class Way(NamedTuple):
  """One run in the order of its steps.

  steps:  [K]
  values: 'divergence', 'reward' and 'entropy', those that are measured, [K]
  """

  steps: np.ndarray
  values: dict[str, np.ndarray]

  @property
  def followed(self) -> bool:
    """Whether it says what the reward was at a divergence."""
    return {'divergence', 'reward'} <= set(self.values)

  @property
  def start(self) -> float:
    """The divergence of its first point; it must be `followed`."""
    return float(self.values['divergence'][0])

  @property
  def reach(self) -> float:
    """The largest divergence on it; it must be `followed`."""
    return float(self.values['divergence'].max())


class AtDivergence(NamedTuple):
  """Methods where their runs first reach some divergences.

  source: the key of `WAYS`
  levels: rising, [L]
  ways:   method -> the ways of its runs, those that can be followed
  values: 'reward', 'entropy' -> method -> by level; None where no run of it
          gets there, and of fewer values than runs where some do not
  """

  source: str
  levels: tuple[float, ...]
  ways: dict[str, list[Way]]
  values: dict[str, dict[str, tuple[Estimate | None, ...]]]


def training_way(run: RunRecord) -> Way:
  """Of the steps: running means over a tenth of them, as of `_smooth`.

  Samples of a policy have their variety measured as they are drawn; a line
  without it is of stored samples, which say nothing of the policy, and is left
  out.
  """
  drawn = [
    line
    for line in run.metrics
    if any(name.startswith('diversity_') for name in line)
  ]
  steps, values = _measured(drawn)
  window = smoothing_window(len(steps))
  return Way(steps, {name: _smooth(v, window) for name, v in values.items()})


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
  """A running mean that is narrow at first: a way begins at the first step.

  Of what comes later in its first window, the divergence may be far away.
  """
  smooth = running_mean(values, window)
  for i in range(min(window // 2, len(values))):
    smooth[i] = values[: 2 * i + 1].mean()
  return smooth


def held_out_way(run: RunRecord) -> Way:
  """Of the evaluations as they are; empty with fewer than `FEWEST`."""
  way = _measured(run.evaluations)
  return way if len(way.steps) >= FEWEST else _measured([])


WAYS: dict[str, Callable[[RunRecord], Way]] = {
  'training': training_way,
  'held_out': held_out_way,
}


def _measured(records: Iterable[Record]) -> Way:
  """Of the records that know all that any of them knows."""
  records = list(records)
  names = [n for n in ('divergence', *READ) if len(series(records, n)[1])]
  whole = [r for r in records if all(len(series([r], n)[1]) for n in names)]
  if not whole:
    return Way(np.zeros(0), {})
  return Way(
    np.array([record['step'] for record in whole], float),
    {name: series(whole, name)[1] for name in names},
  )


def at_divergence(way: Way, levels: Sequence[float], name: str) -> np.ndarray:
  """A measure where the divergence first reaches levels [L], between points.

  NaN where it never does, or where the way begins beyond the level.
  """
  far, values = way.values['divergence'], way.values[name]
  found = np.full(len(levels), np.nan)
  for i, level in enumerate(levels):
    there = np.flatnonzero(far >= level)
    if not len(there):
      continue
    k = there[0]
    if far[k] == level:
      found[i] = values[k]
    elif k:
      share = (level - far[k - 1]) / (far[k] - far[k - 1])
      found[i] = values[k - 1] + share * (values[k] - values[k - 1])
  return found


def round_levels(low: float, high: float) -> list[float]:
  """1, 2 and 5 times powers of ten above low, up to high; of four decades."""
  if high <= 0:
    return []
  top = math.floor(math.log10(high))
  powers = [f'{m}e{top + up}' for up in range(-3, 2) for m in (1, 2, 5)]
  return [level for level in map(float, powers) if low < level <= high]


def shared_levels(ways: Mapping[str, Sequence[Way]]) -> tuple[float, ...]:
  """Round divergences at which methods are compared, rising.

  The three largest that every method reaches, and the two largest that half of
  the methods reach: one that stays close to its base would leave little to see
  of the others. A method reaches what half of its runs reach.
  """
  if not ways:
    return ()
  low = max(_half([way.start for way in runs]) for runs in ways.values())
  reached = [_half([way.reach for way in runs]) for runs in ways.values()]
  by_all = round_levels(low, min(reached))
  by_half = round_levels(low, _half(reached))
  return tuple(sorted({*by_all[-3:], *by_half[-2:]}))


def _half(values: Sequence[float]) -> float:
  """The largest number that half of the values or more are not below."""
  return sorted(values)[len(values) // 2]


def equal_divergences(
  runs: Mapping[str, Sequence[RunRecord]],
) -> tuple[AtDivergence, ...]:
  """Methods at equal divergence, by every record that can tell."""
  found = [_equal_divergence(source, runs) for source in WAYS]
  return tuple(at for at in found if at.levels)


def _equal_divergence(
  source: str, runs: Mapping[str, Sequence[RunRecord]]
) -> AtDivergence:
  ways = {
    method: [way for run in of_method if (way := WAYS[source](run)).followed]
    for method, of_method in runs.items()
  }
  ways = {method: followed for method, followed in ways.items() if followed}
  levels = shared_levels(ways)
  return AtDivergence(
    source,
    levels,
    ways,
    {
      name: {
        method: _over_runs(of, levels, name) for method, of in ways.items()
      }
      for name in READ
      if any(name in way.values for of in ways.values() for way in of)
    },
  )


def _over_runs(
  ways: Sequence[Way], levels: Sequence[float], name: str
) -> tuple[Estimate | None, ...]:
  values = [at_divergence(w, levels, name) for w in ways if name in w.values]
  return tuple(
    estimate([float(of_run[i]) for of_run in values])
    for i in range(len(levels))
  )


def over_divergence(
  ways: Sequence[Way], name: str
) -> tuple[np.ndarray, list[Estimate]]:
  """(divergences [K], estimates) of a measure, as far as all runs go.

  Evenly spaced in the root of the divergence, which is a squared distance.
  Nothing where the runs have no range in common.
  """
  low = max(0.0, *(way.start for way in ways))
  high = min(way.reach for way in ways)
  if low >= high:
    return np.zeros(0), []
  grid = np.linspace(math.sqrt(low), math.sqrt(high), GRID) ** 2
  grid[0], grid[-1] = low, high
  found = _over_runs(ways, [float(level) for level in grid], name)
  known = [i for i, value in enumerate(found) if value is not None]
  return grid[known], [value for value in found if value is not None]
