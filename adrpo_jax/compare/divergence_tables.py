"""Methods at equal divergence in words: their tables, and how to read them."""

from typing import NamedTuple

from adrpo_jax.compare.equal_divergence import AtDivergence
from adrpo_jax.compare.results import Comparison
from adrpo_jax.stats.estimates import Estimate
from adrpo_jax.stats.measures import Measure, method_title

SOURCES = {
  'training': 'the steps, as running means over a tenth of a run',
  'held_out': 'the held-out evaluations, on lines between them',
}


class LevelTable(NamedTuple):
  """One measure of every method at some divergences.

  head: what is measured over what, and the levels
  rows: a title of a method, and a cell for each level
  """

  head: list[str]
  rows: list[list[str]]


def level_tables(
  comparison: Comparison, at: AtDivergence
) -> dict[str, LevelTable]:
  """A table for each measure, in the order of the methods, by its key."""
  divergence = comparison.measures['divergence'].head
  tables = {}
  for key, by_method in at.values.items():
    measure = comparison.measures[key]
    found = [value for values in by_method.values() for value in values]
    places = measure.places(*[value.mean for value in found if value])
    nowhere = (None,) * len(at.levels)
    rows = [
      [method_title(method)]
      + [
        _cell(measure, value, places, len(runs))
        for value in by_method.get(method, nowhere)
      ]
      for method, runs in comparison.runs.items()
    ]
    head = f'{measure.head} at {divergence} of'
    tables[key] = LevelTable([head, *map(level_text, at.levels)], rows)
  return tables


def level_text(level: float) -> str:
  """A round number as it is said: "0.05"."""
  return f'{level:.10f}'.rstrip('0').rstrip('.')


def _cell(
  measure: Measure, value: Estimate | None, places: int, runs: int
) -> str:
  if value is None:
    return '–'
  text = measure.written(value.mean, value.error, places)
  count = len(value.values)
  return text if count == runs else f'{text} ({count} of {runs})'


def level_lead(comparison: Comparison, at: AtDivergence) -> str:
  """What the tables are of; with the first, how to read them."""
  measure = comparison.measures['divergence']
  listed = ', '.join(map(level_text, at.levels))
  lead = (
    f'At equal {measure.head}: where the {measure.label} of a run first '
    f'reaches {listed}. Read from {SOURCES[at.source]}; mean over seeds ± '
    'standard error.'
  )
  if at.source != comparison.at_divergence[0].source:
    return lead
  return (
    f'{lead} The levels are the three largest round numbers that every method '
    'reaches and the two largest that half of the methods reach, each with '
    'half of its seeds. A dash: no seed gets there; (1 of 2): one of two.'
  )


def unread(comparison: Comparison, at: AtDivergence) -> list[str]:
  """Methods whose row is empty for want of a record, and why."""
  missing = [m for m in comparison.runs if m not in at.ways]
  why = {
    'training': 'no step is logged with samples of its own policy',
    'held_out': 'too few evaluations',
  }[at.source]
  return [f'{method_title(method)} is not read: {why}.' for method in missing]


def level_columns(
  comparison: Comparison, method: str
) -> dict[str, float | None]:
  """Every number of a method for one row of CSV; None where there is none.

  Columns are SOURCE_MEASURE_at_LEVEL, and with _se and _seeds the standard
  error and the number of seeds that get there.
  """
  columns: dict[str, float | None] = {}
  for at in comparison.at_divergence:
    for key, by_method in at.values.items():
      nowhere = (None,) * len(at.levels)
      values = by_method.get(method, nowhere)
      for level, value in zip(at.levels, values, strict=True):
        name = f'{at.source}_{key}_at_{level_text(level)}'
        columns[name] = value.mean if value else None
        columns[f'{name}_se'] = value.error if value else None
        columns[f'{name}_seeds'] = len(value.values) if value else 0
  return columns
