"""Fronts of methods over their settings, by the area that each dominates.

The points of a method are the settings of a sweep. A seed has a front of its
own, and an area, so that methods are compared seed by seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from adrpo_jax.compare.sweeps import method_of, setting_of
from adrpo_jax.report.run_record import RunRecord
from adrpo_jax.stats.estimates import Estimate, estimate
from adrpo_jax.stats.hypervolume import hypervolume
from adrpo_jax.stats.measures import Measure
from adrpo_jax.stats.number_format import is_finite
from adrpo_jax.stats.paired_seeds import SeedGap, seed_gap

Point = tuple[float, float]  # (goal, measure on the other axis)


class MethodFront(NamedTuple):
  """A method over its settings.

  points: setting -> the mean over seeds
  areas:  seed -> the area that its points dominate
  """

  method: str
  points: dict[str, Point]
  areas: dict[int, float]

  @property
  def area(self) -> Estimate | None:
    """Returns the mean area over seeds with its standard error."""
    return estimate(list(self.areas.values()))


class Fronts(NamedTuple):
  """The fronts of all methods in one plane.

  axis:      the measure on the other axis
  reference: the goal of the base, and the worst of the other measure
  methods:   one front each
  gaps:      the method that is compared -> the gap of ours to it
  own:       the method that is compared with the others
  """

  axis: str
  reference: Point
  methods: tuple[MethodFront, ...]
  own: str
  gaps: dict[str, SeedGap]


def fronts_of(
  runs: Mapping[str, Mapping[int, RunRecord]],
  goal: Measure,
  axes: Mapping[str, bool],
) -> tuple[Fronts, ...]:
  """Returns the fronts of each axis; none without a sweep.

  Args:
    runs: name of a method, or of one with a setting -> seed -> run.
    goal: the measure that methods are compared by.
    axes: the other measure -> is more of it better?
  """
  if not any(map(setting_of, runs)):
    return ()
  found = (_fronts(runs, goal, axis, more) for axis, more in axes.items())
  return tuple(fronts for fronts in found if fronts.methods)


def _fronts(
  runs: Mapping[str, Mapping[int, RunRecord]],
  goal: Measure,
  axis: str,
  more_is_better: bool,
) -> Fronts:
  points = {
    name: {
      seed: (float(y), float(x))
      for seed, run in of_seeds.items()
      if is_finite(y := run.final.get(goal.key))
      and is_finite(x := run.final.get(axis))
    }
    for name, of_seeds in runs.items()
  }
  bases = [run.base for of_seeds in runs.values() for run in of_seeds.values()]
  known = [x for one in points.values() for _, x in one.values()]
  known += [x for base in bases if is_finite(x := base.get(axis))]
  starts = [y for base in bases if is_finite(y := base.get(goal.key))]
  if not (known and starts):
    return Fronts(axis, (0.0, 0.0), (), '', {})
  worst = min(known) if more_is_better else max(known)
  reference = max(starts), worst
  methods: dict[str, dict[str, dict[int, Point]]] = {}
  for name, of_seeds in points.items():
    if of_seeds:
      methods.setdefault(method_of(name), {})[setting_of(name)] = of_seeds

  def area(settings: Mapping[str, Mapping[int, Point]], seed: int) -> float:
    return hypervolume(
      [of_seeds[seed] for of_seeds in settings.values()],
      reference,
      more_is_better=(True, more_is_better),
    )

  fronts = tuple(
    MethodFront(
      method,
      {setting: _mean(list(p.values())) for setting, p in settings.items()},
      {seed: area(settings, seed) for seed in _common(settings.values())},
    )
    for method, settings in methods.items()
  )
  own = next((f for f in fronts if f.method == 'adrpo'), fronts[0])
  gaps = {
    other.method: seed_gap(
      [own.areas[seed] for seed in seeds], [other.areas[seed] for seed in seeds]
    )
    for other in fronts
    if other is not own and (seeds := _common([own.areas, other.areas]))
  }
  return Fronts(axis, reference, fronts, own.method, gaps)


def _common(of_seeds: Iterable[Mapping[int, object]]) -> list[int]:
  """Returns the seeds that all have."""
  first, *others = map(set, of_seeds)
  return sorted(first.intersection(*others))


def _mean(points: Sequence[Point]) -> Point:
  goals, others = zip(*points, strict=True)
  return sum(goals) / len(goals), sum(others) / len(others)
