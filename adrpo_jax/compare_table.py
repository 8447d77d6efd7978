"""Methods × seeds as one table: means, standard errors, Pareto fronts.

Reads the finished runs of a folder `WORKDIR/METHOD/seed_K/`; writes the same
rows as Markdown, CSV and JSON.
"""

from collections.abc import Callable, Sequence
import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from adrpo_jax.measures import (
  MEASURE,
  MEASURES,
  METHOD_TITLES,
  difference,
  known,
  method_title,
  percent,
  plain,
  point_difference,
)
from adrpo_jax.run_record import RunRecord, read_run

FRONTS = {'diversity': True, 'divergence': False}  # against success; more?


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over seeds with its standard error, and what it was made of."""

  mean: float
  error: float | None
  values: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class MethodRow:
  """One method over its seeds.

  measures:    name -> estimate, of the evaluation's measures, of
               `success_gain` and `diversity_kept` (against the base), and of
               `seconds` and `samples_per_second`
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
  notes: tuple[str, ...]


def estimate(
  values: Sequence[float | None], errors: Sequence[float | None] = ()
) -> Estimate | None:
  """Mean and standard error s/√n of what is known of values.

  With one value the error is its own, that of its evaluation over prompts;
  None where nothing is known.
  """
  there = [float(value) for value in values if known(value)]
  if not there:
    return None
  if len(there) > 1:
    error = float(np.std(there, ddof=1) / math.sqrt(len(there)))
  else:
    error = next((e for e in errors if known(e)), None)
  return Estimate(float(np.mean(there)), error, tuple(there))


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


def _measured(records: list[dict]) -> dict[str, tuple[list[Any], list[Any]]]:
  return {
    measure.key: (
      [record.get(measure.key) for record in records],
      [record.get(f'{measure.key}_se') for record in records],
    )
    for measure in MEASURES
  }


def _categories(records: list[dict]) -> dict[str, Estimate]:
  scores = [record.get('by_category') or {} for record in records]
  names = dict.fromkeys(name for score in scores for name in score)
  return _estimates(
    {name: ([score.get(name) for score in scores], []) for name in names}
  )


def _kept(run: RunRecord) -> float | None:
  before, after = run.base.get('diversity'), run.final.get('diversity')
  return after / before if known(before) and known(after) and before else None


def _row(method: str, runs: list[RunRecord]) -> MethodRow:
  summaries = [run.summary or {} for run in runs]
  gains = [difference(run.base, run.final, 'success') for run in runs]
  speeds = [
    s.get('throughput', {}).get('samples_per_second') for s in summaries
  ]
  ceilings = [s.get('predicted_ceiling') for s in summaries]
  ceiling = estimate(ceilings)
  columns = _measured([run.final for run in runs]) | {
    'success_gain': ([gain for gain, _ in gains], [se for _, se in gains]),
    'diversity_kept': ([_kept(run) for run in runs], []),
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
    for key, (values, errors) in _measured(records).items()
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
    placed = [(row.mean('success'), row.mean(axis)) for row in everyone]
    there = [i for i, point in enumerate(placed) if all(map(known, point))]
    front = pareto_front(
      [placed[i] for i in there], more_is_better=(True, more)
    )
    for i, on_front in zip(there, front, strict=True):
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
  return Comparison(base, tuple(rows), runs, tuple(notes + base_notes))


Cell = tuple[str, Callable[[MethodRow], str]]


def _written(key: str, write: Callable[..., str]) -> Callable[..., str]:
  def cell(row: MethodRow) -> str:
    value = row.measures.get(key)
    return write(value.mean, value.error) if value else '–'

  return cell


def fronts_of(row: MethodRow) -> str:
  """The fronts a row is on, in words."""
  names = {'diversity': 'diversity', 'divergence': 'W2'}
  on = [name for key, name in names.items() if row.on_front.get(key)]
  return ', '.join(on) or '–'


def table_cells(comparison: Comparison) -> list[Cell]:
  """The columns of the table: a head and the text of a row's cell."""
  w2 = [r.mean('divergence') for r in comparison.methods]
  places = MEASURE['divergence'].places(*w2)

  def divergence(row: MethodRow) -> str:
    value = row.measures.get('divergence')
    return plain(value.mean, value.error, places) if value else '–'

  cells: list[Cell] = [
    ('Method', lambda row: method_title(row.method)),
    ('Seeds', lambda row: str(len(row.seeds)) if row.seeds else '–'),
    ('Success', _written('success', percent)),
    ('Gain', _written('success_gain', point_difference)),
    ('Reward', _written('reward', plain)),
    ('Diversity', _written('diversity', plain)),
    ('Diversity kept', _written('diversity_kept', percent)),
    ('W2', divergence),
    ('On front', fronts_of),
  ]
  if any(known(row.predicted_ceiling) for row in comparison.methods):
    ceiling: Cell = ('Predicted', lambda row: percent(row.predicted_ceiling))
    cells.insert(4, ceiling)
  return cells


def error_legend(comparison: Comparison) -> str:
  """What the ± of the table is."""
  if all(len(row.seeds) < 2 for row in comparison.methods):
    return '± is the standard error over held-out prompts; one seed each.'
  return (
    '± is the standard error over seeds; for the base, and for a method with '
    'one seed, that over held-out prompts.'
  )


def as_markdown(comparison: Comparison) -> str:
  """The table for a README, with its legend and notes."""
  cells = table_cells(comparison)
  lines = [
    '| ' + ' | '.join(head for head, _ in cells) + ' |',
    '| --- |' + ' ---: |' * (len(cells) - 1),
  ]
  for row in (comparison.base, *comparison.methods):
    lines.append('| ' + ' | '.join(cell(row) for _, cell in cells) + ' |')
  rest = [error_legend(comparison), *comparison.notes]
  return '\n'.join(lines) + '\n\n' + '\n'.join(f'{r}\n' for r in rest)


def as_csv(comparison: Comparison) -> str:
  """The table with full precision: a row a method, x and x_se for each x."""
  keys = list(
    dict.fromkeys(
      key
      for row in (comparison.base, *comparison.methods)
      for key in row.measures
    )
  )
  heads = [name for key in keys for name in (key, f'{key}_se')]
  fronts = [f'on_front_{axis}' for axis in FRONTS]
  buffer = io.StringIO()
  writer = csv.writer(buffer, lineterminator='\n')
  writer.writerow(['method', 'seeds', *heads, *fronts, 'predicted_ceiling'])
  for row in (comparison.base, *comparison.methods):
    numbers: list[Any] = []
    for key in keys:
      value = row.measures.get(key)
      numbers += [value.mean, value.error] if value else [None, None]
    flags = [row.on_front.get(axis) for axis in FRONTS]
    writer.writerow(
      [row.method, len(row.seeds), *numbers, *flags, row.predicted_ceiling]
    )
  return buffer.getvalue()


def as_json(comparison: Comparison) -> str:
  """Everything, the value of every seed included."""
  record = {
    'base': dataclasses.asdict(comparison.base),
    'methods': [dataclasses.asdict(row) for row in comparison.methods],
    'error': error_legend(comparison),
    'notes': list(comparison.notes),
  }
  return json.dumps(record, indent=2, ensure_ascii=False) + '\n'
