"""The table of a comparison, as text, Markdown, CSV and JSON."""

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
  missing_methods,
)
from adrpo_jax.compare.front_tables import front_records, markdown_parts
from adrpo_jax.compare.pairs import LEGEND, pair_rows
from adrpo_jax.compare.results import FRONTS, Comparison, MethodRow
from adrpo_jax.stats.measures import Measures, guided_keys
from adrpo_jax.stats.number_format import (
  decimal,
  is_finite,
  percent,
)

TableColumn = tuple[str, Callable[[MethodRow], str]]  # head, row -> cell


def _cell_of(key: str, write: Callable[..., str]) -> Callable[..., str]:
  def cell(row: MethodRow) -> str:
    value = row.measures.get(key)
    return write(value.mean, value.error) if value else '–'

  return cell


def fronts_of(measures: Measures, row: MethodRow) -> str:
  """Returns the names of the fronts that a row is on."""
  names = {key: measures[key].short or key for key in FRONTS}
  on = [name for key, name in names.items() if row.on_front.get(key)]
  return ', '.join(on) or '–'


def _escaped(row: MethodRow) -> str:
  """Returns how many runs have left the local optimum, as "2 of 3"."""
  value = row.measures.get('escaped')
  return f'{sum(value.values):g} of {len(value.values)}' if value else '–'


def table_columns(comparison: Comparison) -> list[TableColumn]:
  """Returns the columns of the table: the head, and a row's cell as text."""
  measures, goal = comparison.measures, comparison.goal
  levels = [r.mean('divergence') for r in comparison.methods]
  places = measures['divergence'].places(*levels)

  def divergence(row: MethodRow) -> str:
    value = row.measures.get('divergence')
    return decimal(value.mean, value.error, places) if value else '–'

  columns: list[TableColumn] = [
    ('Method', lambda row: row.title),
    ('Seeds', lambda row: str(len(row.seeds)) if row.seeds else '–'),
    (goal.title, _cell_of(goal.key, goal.format)),
    ('Gain', _cell_of(f'{goal.key}_gain', goal.difference)),
    ('Reward', _cell_of('reward', decimal)),
    ('Diversity', _cell_of('diversity', decimal)),
    ('Diversity kept', _cell_of('diversity_kept', goal.format)),
    (measures['divergence'].head, divergence),
    ('On front', partial(fronts_of, measures)),
  ]
  guided = guided_keys(measures, goal.key)
  for key in (*guided, 'heard', 'consistent', 'silent_audio', 'entropy'):
    if any(key in row.measures for row in comparison.methods):
      measure = measures[key]
      columns.insert(-2, (measure.head, _cell_of(key, measure.format)))
  if comparison.escape:
    columns.insert(4, ('Escaped', _escaped))
  if any(is_finite(row.predicted_ceiling) for row in comparison.methods):
    columns.insert(4, ('Predicted', lambda row: percent(row.predicted_ceiling)))
  return list(
    dict(columns).items()
  )  # The reward stands once if it is the goal.


def error_legend(comparison: Comparison) -> str:
  """Returns the meaning of ± in the table."""
  if all(len(row.seeds) < 2 for row in comparison.methods):
    return '± is the standard error over held-out prompts, with one seed each.'
  return (
    '± is the standard error over seeds. For the base, and for a method with '
    'one seed, it is the standard error over held-out prompts.'
  )


def legends(comparison: Comparison) -> list[str]:
  """Returns the meaning of ± and, if the table has it, of "Escaped"."""
  lines = [error_legend(comparison)]
  if escape := comparison.escape:
    lines.append(
      'Escaped counts the seeds that leave the local optimum of the task, with '
      f'a success above {percent(escape.success, places=0)} at the end.'
    )
  return lines


def table_rows(comparison: Comparison) -> list[list[str]]:
  """Returns the head of the table and a row of cells for each method."""
  columns = table_columns(comparison)
  rows = (comparison.base, *comparison.methods)
  return [
    [head for head, _ in columns],
    *([cell(row) for _, cell in columns] for row in rows),
  ]


def as_markdown(comparison: Comparison) -> str:
  """Returns the tables as Markdown, with their legends and notes."""
  parts = [
    markdown(table_rows(comparison)),
    *legends(comparison),
    *comparison.notes,
  ]
  if comparison.pairs:
    parts += [markdown(pair_rows(comparison.pairs, comparison.goal))]
    parts += [LEGEND.format(items='prompts')]
  parts += markdown_parts(comparison, markdown)
  for at in comparison.at_divergence:
    parts.append(level_lead(comparison, at))
    tables = level_tables(comparison, at).values()
    parts += [markdown([table.head, *table.rows]) for table in tables]
    parts += missing_methods(comparison, at)
  return '\n\n'.join(parts) + '\n'


def markdown(rows: Sequence[Sequence[str]]) -> str:
  """Returns a table whose first row is its head. Numbers align right."""
  head, *body = ['| ' + ' | '.join(row) + ' |' for row in rows]
  rule = '| --- |' + ' ---: |' * (len(rows[0]) - 1)
  return '\n'.join([head, rule, *body])


def as_csv(comparison: Comparison) -> str:
  """Returns all numbers in full precision, one row per method.

  Each measure x has the columns x and x_se.
  """
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
  """Returns all results as JSON, with the values of every seed."""
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
    'pairs': [
      {'first': pair.first, 'second': pair.second} | pair.paired._asdict()
      for pair in comparison.pairs
    ],
    'fronts': front_records(comparison),
    'error': error_legend(comparison),
    'notes': list(comparison.notes),
  }
  return json.dumps(record, indent=2, ensure_ascii=False) + '\n'
