"""The numbers of a comparison: means over seeds, errors, Pareto fronts.

They are read from the finished runs in `WORKDIR/METHOD/seed_K/`.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from pathlib import Path
from typing import Any

from etils import epath
import numpy as np

from adrpo_jax.compare.equal_divergence import (
  EqualDivergence,
  equal_divergences,
)
from adrpo_jax.compare.fronts import Fronts, fronts_of
from adrpo_jax.compare.pairs import Pair, make_pairs
from adrpo_jax.compare.sweeps import method_of, setting_of
from adrpo_jax.report.method_titles import TITLES
from adrpo_jax.report.run_record import RunRecord, read_run
from adrpo_jax.stats.estimates import Estimate, estimate
from adrpo_jax.stats.measures import Measure, Measures, difference, goal, ratio
from adrpo_jax.stats.number_format import is_finite
from adrpo_jax.system.records import PER_PROMPT, read_summary
from adrpo_jax.worlds import TEXT_WORLDS, Escape

# Measure on the other axis of a front against the goal -> is more of it better?
FRONTS = {'diversity': True, 'divergence': False}


@dataclasses.dataclass(frozen=True)
class MethodRow:
  """One method over its seeds.

  title:       of the method, or of a variant in `config.compare`
  measures:    name -> estimate. The names are the measures of the evaluation,
               `GOAL_gain` and `diversity_kept` (against the base),
               `seconds`, `samples_per_second` and, if the task has a local
               optimum, `escaped` (0 or 1 for a run)
  by_category: name -> estimate of the goal
  on_front:    "diversity" and "divergence" -> True if neither another method
               nor the base is better in both this measure and the goal
  """

  method: str
  title: str
  seeds: tuple[int, ...]
  measures: dict[str, Estimate]
  by_category: dict[str, Estimate]
  on_front: dict[str, bool]
  predicted_ceiling: float | None

  def mean(self, key: str) -> float | None:
    """Returns the mean of a measure, None if no run has it."""
    return self.measures[key].mean if key in self.measures else None


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The runs of a folder, summarized: the base, a row per method, notes."""

  base: MethodRow
  methods: tuple[MethodRow, ...]
  runs: dict[str, list[RunRecord]]
  at_divergence: tuple[EqualDivergence, ...]
  pairs: tuple[Pair, ...]
  fronts: tuple[Fronts, ...]
  notes: tuple[str, ...]

  @property
  def titles_of_methods(self) -> dict[str, str]:
    """Method or variant, without a setting -> title."""
    titles = {row.method: row.title for row in self.methods}
    return {
      method_of(name): title.removesuffix(_setting(name))
      for name, title in titles.items()
    }

  @property
  def titles(self) -> dict[str, str]:
    """Method or variant -> title."""
    return {row.method: row.title for row in self.methods}

  @property
  def escape(self) -> Escape | None:
    """The criterion for leaving the local optimum of the task, or None."""
    return _escape(next(runs[0] for runs in self.runs.values()))

  @property
  def measures(self) -> Measures:
    """The measures of the evaluations. All runs have the same modality."""
    return next(runs[0].measures for runs in self.runs.values())

  @property
  def goal(self) -> Measure:
    """The measure that methods are compared by: success, or else the reward."""
    return _goal(run for runs in self.runs.values() for run in runs)


def _goal(runs: Iterable[RunRecord]) -> Measure:
  runs = list(runs)
  records = [record for run in runs for record in (run.base, run.final)]
  return goal(runs[0].measures, *records)


def pareto_front(
  points: Sequence[tuple[float, float]], *, more_is_better: tuple[bool, bool]
) -> list[bool]:
  """Returns True for each point that no other point dominates.

  A point dominates another if it is at least as good in both measures and
  better in one.
  """
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
  estimates = {key: estimate(*column) for key, column in columns.items()}
  return {key: value for key, value in estimates.items() if value is not None}


def _columns(
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
  """Returns the criterion of the run's world, if its judge was evaluated."""
  world = TEXT_WORLDS.get(str(run.settings.get('world')))
  escape = world.escape if world else None
  return escape if escape and escape.fact in run.final else None


def _escaped(run: RunRecord) -> float | None:
  escape = _escape(run)
  return float(run.final['success'] > escape.success) if escape else None


def _row(method: str, runs: list[RunRecord], by: Measure) -> MethodRow:
  summaries = [run.summary or {} for run in runs]
  gains = [difference(run.base, run.final, by.key) for run in runs]
  speeds = [
    s.get('throughput', {}).get('samples_per_second') for s in summaries
  ]
  ratios = [ratio(run.base, run.final, 'diversity') for run in runs]
  ceilings = [s.get('predicted_ceiling') for s in summaries]
  ceiling = estimate(ceilings)
  columns = _columns(runs[0].measures, [r.final for r in runs]) | {
    f'{by.key}_gain': ([gain for gain, _ in gains], [se for _, se in gains]),
    'diversity_kept': (ratios, []),
    'escaped': ([_escaped(run) for run in runs], []),
    'seconds': ([s.get('seconds') for s in summaries], []),
    'samples_per_second': (speeds, []),
  }
  return MethodRow(
    method=method,
    title=_title(method, runs[0]),
    seeds=tuple(_seed(run.workdir) for run in runs),
    measures=_estimates(columns),
    by_category=_categories([run.final for run in runs]),
    on_front={},
    predicted_ceiling=ceiling.mean if ceiling else None,
  )


def _title(name: str, run: RunRecord) -> str:
  """Returns the title of a variant or of the method, with its setting."""
  method = method_of(name)
  variant = (run.settings.get('compare') or {}).get(method) or {}
  own = run.title if run.method == method else method
  return (variant.get('title') or own) + _setting(name)


def _setting(name: str) -> str:
  """Returns what the title of a method with a setting ends with."""
  return f', {setting}' if (setting := setting_of(name)) else ''


def _base_row(
  runs: list[RunRecord], by: Measure
) -> tuple[MethodRow, list[str]]:
  """Returns the row of the base, and a note if the runs have different bases.

  Its errors are those of one evaluation, because all runs repeat the same
  evaluation of the base.
  """
  records = [run.base for run in runs]
  measures = {
    key: dataclasses.replace(value, error=next(filter(is_finite, errors), None))
    for key, (values, errors) in _columns(runs[0].measures, records).items()
    if (value := estimate(values)) is not None
  }
  notes = []
  if (bases := measures.get(by.key)) and np.ptp(bases.values) > 1e-6:
    low, high = map(by.format, (min(bases.values), max(bases.values)))
    notes.append(
      f'The runs have different bases: their {by.title.lower()} is {low} to '
      f'{high}. Each gain is against the base of its run.'
    )
  by_category = _categories(records)
  return MethodRow('base', 'Base', (), measures, by_category, {}, None), notes


def _effort_notes(runs: list[RunRecord]) -> list[str]:
  """Returns a note if the runs did not train on the same number of samples."""
  settings = [run.settings.get('prompts') or {} for run in runs]
  efforts = {
    (run.steps, prompts.get('prompts_per_step'), prompts.get('group_size'))
    for run, prompts in zip(runs, settings, strict=True)
  }
  if len(efforts) < 2:
    return []
  return [
    'The runs differ in steps, prompts per step or samples per prompt, so the '
    'table does not compare them at equal numbers of samples.'
  ]


def _pairs(
  runs: Mapping[str, Sequence[RunRecord]],
  rows: Sequence[MethodRow],
  by: Measure,
) -> tuple[tuple[Pair, ...], list[str]]:
  """Pairs ADRPO, or else the first method, with the base and each other.

  The second value is a note where the runs cannot be paired.
  """
  records = [run.per_prompt for group in runs.values() for run in group]
  known = [record for record in records if record]
  if not known:
    return (), []
  kinds = {(one['measure'], one['prompts'], len(one['final'])) for one in known}
  if (
    len(known) < len(records) or len(kinds) > 1 or known[0]['measure'] != by.key
  ):
    return (), [
      f'The runs are not compared prompt by prompt: some have no {PER_PROMPT}, '
      'or scores of other prompts.'
    ]

  def scores(row: MethodRow) -> tuple[str, np.ndarray]:
    finals = [(run.per_prompt or {})['final'] for run in runs[row.method]]
    return row.title, np.array(finals, float)

  own = next((row for row in rows if row.method == 'adrpo'), rows[0])
  others = [('Base', np.array([known[0]['base']], float))]
  others += [scores(row) for row in rows if row is not own]
  return tuple(make_pairs(scores(own), others)), []


def _seed(folder: Path) -> int:
  return int(folder.name.removeprefix('seed_'))


def _folders(workdir: Path) -> dict[str, list[Path]]:
  """Returns method -> folders of its seeds.

  Methods of the tables come first, in the order of the tables.
  """
  folders: dict[str, list[Path]] = {}
  for folder in workdir.glob('*/seed_*'):
    if folder.is_dir() and folder.name.removeprefix('seed_').isdecimal():
      folders.setdefault(folder.parent.name, []).append(folder)
  order = list(TITLES)

  def place(name: str) -> tuple[int, str]:
    method = method_of(name)
    return order.index(method) if method in order else len(order), name

  names = sorted(folders, key=place)
  return {name: sorted(folders[name], key=_seed) for name in names}


def _with_fronts(
  base: MethodRow, rows: list[MethodRow], by: Measure
) -> tuple[MethodRow, list[MethodRow]]:
  everyone = [base, *rows]
  for axis, more in FRONTS.items():
    points = {
      i: (value, other)
      for i, row in enumerate(everyone)
      if is_finite(value := row.mean(by.key))
      and is_finite(other := row.mean(axis))
    }
    front = pareto_front(list(points.values()), more_is_better=(True, more))
    for i, on_front in zip(points, front, strict=True):
      flags = everyone[i].on_front | {axis: on_front}
      everyone[i] = dataclasses.replace(everyone[i], on_front=flags)
  return everyone[0], everyone[1:]


def read_comparison(workdir: Path | str) -> Comparison:
  """Reads every finished run of a comparison, and notes the unfinished ones.

  Raises:
    FileNotFoundError: no run in the folder has finished.
    InputError: the summary of a run is damaged.
  """
  workdir = Path(workdir)
  runs: dict[str, list[RunRecord]] = {}
  notes = []
  for method, folders in _folders(workdir).items():
    for folder in folders:
      if (folder / 'summary.json').exists():
        read_summary(epath.Path(folder))  # It must be whole here.
        run = read_run(folder)
        runs.setdefault(method, []).append(run)
        notes += [f'{method}/{folder.name}: {note}' for note in run.notes]
      else:
        notes.append(f'{method}/{folder.name} is left out: not finished.')
  if not runs:
    raise FileNotFoundError(
      f'Expected finished runs, METHOD/seed_K/summary.json, in {workdir}, '
      'found none. First run adrpo_jax.compare with this --workdir.'
    )
  everything = [run for of_method in runs.values() for run in of_method]
  by = _goal(everything)
  base, base_notes = _base_row(everything, by)
  rows = [_row(method, of_method, by) for method, of_method in runs.items()]
  base, rows = _with_fronts(base, rows, by)
  pairs, pair_notes = _pairs(runs, rows, by)
  counts = {len(row.seeds) for row in rows}
  if len(counts) > 1:
    notes.append('The methods have different numbers of finished seeds.')
  return Comparison(
    base,
    tuple(rows),
    runs,
    equal_divergences(runs),
    pairs,
    fronts_of(
      {
        name: {_seed(run.workdir): run for run in of_method}
        for name, of_method in runs.items()
      },
      by,
      FRONTS,
    ),
    tuple(notes + base_notes + _effort_notes(everything) + pair_notes),
  )
