"""A comparison as one table: in words, as Markdown, CSV and JSON."""

from collections.abc import Callable, Sequence
import csv
import dataclasses
from functools import partial
import io
import json
from typing import Any

from adrpo_jax.compare.divergence_tables import (
  level_columns,
  level_lead,
  level_tables,
  unread,
)
from adrpo_jax.compare.results import FRONTS, Comparison, MethodRow
from adrpo_jax.stats.measures import Measures, method_title
from adrpo_jax.stats.number_format import (
  known,
  percent,
  plain,
  point_difference,
)

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


def legends(comparison: Comparison) -> list[str]:
  """What the ± of the table is, and what it is to escape if it says so."""
  lines = [error_legend(comparison)]
  if escape := comparison.escape:
    lines.append(
      'Escaped: seeds that leave the local optimum of the task, with a '
      f'success above {percent(escape.success, places=0)} at the end.'
    )
  return lines


def table_rows(comparison: Comparison) -> list[list[str]]:
  """The head of the table, and below it a row of cells for each method."""
  cells = table_cells(comparison)
  rows = (comparison.base, *comparison.methods)
  return [
    [head for head, _ in cells],
    *([cell(row) for _, cell in cells] for row in rows),
  ]


def as_markdown(comparison: Comparison) -> str:
  """The tables for a README, with their legends and notes."""
  parts = [
    _markdown(table_rows(comparison)),
    *legends(comparison),
    *comparison.notes,
  ]
  for at in comparison.at_divergence:
    parts.append(level_lead(comparison, at))
    tables = level_tables(comparison, at).values()
    parts += [_markdown([table.head, *table.rows]) for table in tables]
    parts += unread(comparison, at)
  return '\n\n'.join(parts) + '\n'


def _markdown(rows: Sequence[Sequence[str]]) -> str:
  """A table whose first row is its head, numbers to the right."""
  head, *body = ['| ' + ' | '.join(row) + ' |' for row in rows]
  rule = '| --- |' + ' ---: |' * (len(rows[0]) - 1)
  return '\n'.join([head, rule, *body])


def as_csv(comparison: Comparison) -> str:
  """All numbers with full precision: a row a method, x and x_se for each x."""
  rows = (comparison.base, *comparison.methods)
  keys = list(dict.fromkeys(key for row in rows for key in row.measures))
  buffer = io.StringIO()
  lines = [_numbers(comparison, row, keys) for row in rows]
  writer = csv.DictWriter(buffer, list(lines[0]), lineterminator='\n')
  writer.writeheader()
  writer.writerows(lines)
  return buffer.getvalue()


def _numbers(
  comparison: Comparison, row: MethodRow, keys: Sequence[str]
) -> dict[str, Any]:
  line: dict[str, Any] = {'method': row.method, 'seeds': len(row.seeds)}
  for key in keys:
    value = row.measures.get(key)
    line[key] = value.mean if value else None
    line[f'{key}_se'] = value.error if value else None
  fronts = {f'on_front_{axis}': row.on_front.get(axis) for axis in FRONTS}
  ceiling = {'predicted_ceiling': row.predicted_ceiling}
  return line | fronts | ceiling | level_columns(comparison, row.method)


def as_json(comparison: Comparison) -> str:
  """Everything, the value of every seed included."""
  record = {
    'base': dataclasses.asdict(comparison.base),
    'methods': [dataclasses.asdict(row) for row in comparison.methods],
    'at_divergence': [
      {
        'source': at.source,
        'levels': at.levels,
        'values': {
          key: {
            method: [value and dataclasses.asdict(value) for value in values]
            for method, values in by_method.items()
          }
          for key, by_method in at.values.items()
        },
      }
      for at in comparison.at_divergence
    ],
    'error': error_legend(comparison),
    'notes': list(comparison.notes),
  }
  return json.dumps(record, indent=2, ensure_ascii=False) + '\n'
