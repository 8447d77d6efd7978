"""A comparison as one table: in words, as Markdown, CSV and JSON."""

from collections.abc import Callable
import csv
import dataclasses
from functools import partial
import io
import json
from typing import Any

from adrpo_jax.comparison import FRONTS, Comparison, MethodRow
from adrpo_jax.measures import Measures, method_title
from adrpo_jax.number_text import known, percent, plain, point_difference

Cell = tuple[str, Callable[[MethodRow], str]]


def _written(key: str, write: Callable[..., str]) -> Callable[..., str]:
  def cell(row: MethodRow) -> str:
    value = row.measures.get(key)
    return write(value.mean, value.error) if value else '–'

  return cell


def fronts_of(measures: Measures, row: MethodRow) -> str:
  """The fronts a row is on, in words."""
  names = {key: measures[key].short or key for key in FRONTS}
  on = [name for key, name in names.items() if row.on_front.get(key)]
  return ', '.join(on) or '–'


def _escaped(row: MethodRow) -> str:
  """How many of the runs that tell have left the local optimum."""
  value = row.measures.get('escaped')
  return f'{sum(value.values):g} of {len(value.values)}' if value else '–'


def table_cells(comparison: Comparison) -> list[Cell]:
  """The columns of the table: a head and the text of a row's cell."""
  measures = comparison.measures
  levels = [r.mean('divergence') for r in comparison.methods]
  places = measures['divergence'].places(*levels)

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
    (measures['divergence'].head, divergence),
    ('On front', partial(fronts_of, measures)),
  ]
  if 'entropy' in measures:
    cells.insert(-2, (measures['entropy'].head, _written('entropy', plain)))
  if comparison.escape:
    cells.insert(4, ('Escaped', _escaped))
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


def escape_legend(comparison: Comparison) -> str:
  """What it is to escape, where the task has a local optimum."""
  if not comparison.escape:
    return ''
  return (
    'Escaped: seeds that leave the local optimum of the task, with a success '
    f'above {percent(comparison.escape.success, places=0)} at the end.'
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
  legends = [error_legend(comparison), escape_legend(comparison)]
  rest = [line for line in (*legends, *comparison.notes) if line]
  for at in comparison.at_divergence:
    rest.append(divergence_lead(comparison, at))
    rest += map(_markdown, divergence_tables(comparison, at))
  return (
    _markdown(table_of(comparison)) + '\n' + '\n'.join(f'{r}\n' for r in rest)
  )


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
