"""Methods × seeds as numbers: means, standard errors, Pareto fronts.

Read from the finished runs of a folder `WORKDIR/METHOD/seed_K/`.
"""

from collections.abc import Sequence
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from adrpo_jax.compare.equal_divergence import AtDivergence, equal_divergences
from adrpo_jax.report.run_record import RunRecord, read_run
from adrpo_jax.stats.estimates import Estimate, estimate
from adrpo_jax.stats.measures import METHOD_TITLES, Measures, difference, ratio
from adrpo_jax.stats.number_format import known, percent
from adrpo_jax.worlds import TEXT_WORLDS, Escape

FRONTS = {'diversity': True, 'divergence': False}  # against success; more?


@dataclasses.dataclass(frozen=True)
class MethodRow:
  """One method over its seeds.

  measures:    name -> estimate, of the evaluation's measures, of
               `success_gain` and `diversity_kept` (against the base), of
               `escaped`, 0 or 1 of a run, where its task has a local optimum,
               and of `seconds` and `samples_per_second`
  by_category: name -> estimate of success
  on_front:    "diversity" and "divergence" -> whether no other method and not
               the base is better in both it and success
  """

  method: str
  seeds: tuple[int, ...]
  measures: dict[str, Estimate]
  by_category: dict[str, Estimate]
  on_front: dict[str, bool]
  predicted_ceiling: float | None

  def mean(self, key: str) -> float | None:
    """The mean of a measure, None where no run has it."""
    return self.measures[key].mean if key in self.measures else None


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A folder of runs: its rows, the base first, and what to know of them."""

  base: MethodRow
  methods: tuple[MethodRow, ...]
  runs: dict[str, list[RunRecord]]
  at_divergence: tuple[AtDivergence, ...]
  notes: tuple[str, ...]

  @property
  def escape(self) -> Escape | None:
    """What it is to leave the local optimum of the task, if it has one."""
    return _escape(next(runs[0] for runs in self.runs.values()))

  @property
  def measures(self) -> Measures:
    """What the evaluations measure: the runs are of one modality."""
    return next(runs[0].measures for runs in self.runs.values())


def pareto_front(
  points: Sequence[tuple[float, float]], *, more_is_better: tuple[bool, bool]
) -> list[bool]:
  """Which points no other point beats: as good in both, better in one."""
  signs = np.where(more_is_better, 1.0, -1.0)
  scores = np.asarray(points, float).reshape(-1, 2) * signs
  return [
    not any(
      np.all(other >= score) and np.any(other > score) for other in scores
    )
    for score in scores
  ]


def _estimates(
  columns: dict[str, tuple[list[Any], list[Any]]],
) -> dict[str, Estimate]:
  made = {key: estimate(*column) for key, column in columns.items()}
  return {key: value for key, value in made.items() if value is not None}


def _measured(
  measures: Measures, records: list[dict]
) -> dict[str, tuple[list[Any], list[Any]]]:
  return {
    key: (
      [record.get(key) for record in records],
      [record.get(f'{key}_se') for record in records],
    )
    for key in measures
  }


def _categories(records: list[dict]) -> dict[str, Estimate]:
  scores = [record.get('by_category') or {} for record in records]
  names = dict.fromkeys(name for score in scores for name in score)
  return _estimates(
    {name: ([score.get(name) for score in scores], []) for name in names}
  )


def _escape(run: RunRecord) -> Escape | None:
  """That of the world of a run, where its judge is what was evaluated."""
  world = TEXT_WORLDS.get(str(run.settings.get('world')))
  escape = world.escape if world else None
  return escape if escape and escape.fact in run.final else None


def _escaped(run: RunRecord) -> float | None:
  escape = _escape(run)
  return float(run.final['success'] > escape.success) if escape else None


def _row(method: str, runs: list[RunRecord]) -> MethodRow:
  summaries = [run.summary or {} for run in runs]
  gains = [difference(run.base, run.final, 'success') for run in runs]
  speeds = [
    s.get('throughput', {}).get('samples_per_second') for s in summaries
  ]
  kept = [ratio(run.base, run.final, 'diversity') for run in runs]
  ceilings = [s.get('predicted_ceiling') for s in summaries]
  ceiling = estimate(ceilings)
  columns = _measured(runs[0].measures, [r.final for r in runs]) | {
    'success_gain': ([gain for gain, _ in gains], [se for _, se in gains]),
    'diversity_kept': (kept, []),
    'escaped': ([_escaped(run) for run in runs], []),
    'seconds': ([s.get('seconds') for s in summaries], []),
    'samples_per_second': (speeds, []),
  }
  return MethodRow(
    method=method,
    seeds=tuple(_seed(run.workdir) for run in runs),
    measures=_estimates(columns),
    by_category=_categories([run.final for run in runs]),
    on_front={},
    predicted_ceiling=ceiling.mean if ceiling else None,
  )


def _base_row(runs: list[RunRecord]) -> tuple[MethodRow, list[str]]:
  """The base over all runs, which share it, and a note where they do not.

  Its errors are those of one evaluation: the runs repeat it, and repeating
  adds nothing to what is known.
  """
  records = [run.base for run in runs]
  measures = {
    key: dataclasses.replace(value, error=next(filter(known, errors), None))
    for key, (values, errors) in _measured(runs[0].measures, records).items()
    if (value := estimate(values)) is not None
  }
  notes = []
  if (success := measures.get('success')) and np.ptp(success.values) > 1e-6:
    low, high = min(success.values), max(success.values)
    notes.append(
      f'The runs do not share one base: its success is {percent(low)} to '
      f'{percent(high)}. Gains are against the base of each run.'
    )
  by_category = _categories(records)
  return MethodRow('base', (), measures, by_category, {}, None), notes


def _effort_notes(runs: list[RunRecord]) -> list[str]:
  """A note where runs did not draw equally many samples, or say how many."""
  asked = [run.settings.get('prompts') or {} for run in runs]
  efforts = {
    (run.steps, prompts.get('prompts_per_step'), prompts.get('group_size'))
    for run, prompts in zip(runs, asked, strict=True)
  }
  if len(efforts) < 2:
    return []
  return [
    'Runs differ in steps, prompts of a step or samples of a prompt: the table '
    'is not at equal samples.'
  ]


def _seed(folder: Path) -> int:
  return int(folder.name.removeprefix('seed_'))


def _folders(workdir: Path) -> dict[str, list[Path]]:
  """method -> folders of its seeds; known methods first, in our order."""
  found: dict[str, list[Path]] = {}
  for folder in workdir.glob('*/seed_*'):
    if folder.is_dir() and folder.name.removeprefix('seed_').isdecimal():
      found.setdefault(folder.parent.name, []).append(folder)
  order = list(METHOD_TITLES)
  names = sorted(
    found, key=lambda n: (order.index(n) if n in order else len(order), n)
  )
  return {name: sorted(found[name], key=_seed) for name in names}


def _with_fronts(
  base: MethodRow, rows: list[MethodRow]
) -> tuple[MethodRow, list[MethodRow]]:
  everyone = [base, *rows]
  for axis, more in FRONTS.items():
    placed = {
      i: (success, other)
      for i, row in enumerate(everyone)
      if known(success := row.mean('success'))
      and known(other := row.mean(axis))
    }
    front = pareto_front(list(placed.values()), more_is_better=(True, more))
    for i, on_front in zip(placed, front, strict=True):
      flags = everyone[i].on_front | {axis: on_front}
      everyone[i] = dataclasses.replace(everyone[i], on_front=flags)
  return everyone[0], everyone[1:]


def read_comparison(workdir: Path | str) -> Comparison:
  """Reads every finished run of a comparison; the others are noted.

  Raises:
    FileNotFoundError: no run of the folder has finished.
  """
  workdir = Path(workdir)
  runs: dict[str, list[RunRecord]] = {}
  notes = []
  for method, folders in _folders(workdir).items():
    for folder in folders:
      if (folder / 'summary.json').exists():
        runs.setdefault(method, []).append(read_run(folder))
      else:
        notes.append(f'{method}/{folder.name} has not finished: left out.')
  if not runs:
    raise FileNotFoundError(
      f'Expected finished runs as METHOD/seed_K/summary.json in {workdir}, '
      'found none. Run adrpo_jax.compare with this --workdir first.'
    )
  everything = [run for of_method in runs.values() for run in of_method]
  base, base_notes = _base_row(everything)
  base, rows = _with_fronts(base, [_row(m, r) for m, r in runs.items()])
  counts = {len(row.seeds) for row in rows}
  if len(counts) > 1:
    notes.append('Methods have different numbers of seeds so far.')
  return Comparison(
    base,
    tuple(rows),
    runs,
    equal_divergences(runs),
    tuple(notes + base_notes + _effort_notes(everything)),
  )
