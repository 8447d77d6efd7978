"""Tables of methods at equal divergence, and the text that explains them."""

from typing import NamedTuple

from adrpo_jax.compare.equal_divergence import EqualDivergence
from adrpo_jax.compare.results import Comparison
from adrpo_jax.stats.estimates import Estimate
from adrpo_jax.stats.measures import Measure

SOURCES = {
  'training': 'training steps, as running means over a tenth of a run',
  'held_out': 'evaluations on held-out prompts, with lines between them',
}


class LevelTable(NamedTuple):
  """One measure of every method at some divergences.

  head: the name of the measure, and the levels
  rows: the title of a method, and a cell for each level
  """

  head: list[str]
  rows: list[list[str]]


def level_tables(
  comparison: Comparison, at: EqualDivergence
) -> dict[str, LevelTable]:
  """Returns key of a measure -> its table, with rows in order of methods."""
  divergence = comparison.measures['divergence'].head
  tables = {}
  for key, by_method in at.values.items():
    measure = comparison.measures[key]
    estimates = [value for values in by_method.values() for value in values]
    places = measure.places(*[value.mean for value in estimates if value])
    nowhere = (None,) * len(at.levels)
    rows = [
      [comparison.titles[method]]
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
  """Returns a round number as text: "0.05"."""
  return f'{level:.10f}'.rstrip('0').rstrip('.')


def _cell(
  measure: Measure, value: Estimate | None, places: int, runs: int
) -> str:
  if value is None:
    return '–'
  text = measure.format(value.mean, value.error, places)
  count = len(value.values)
  return text if count == runs else f'{text} ({count} of {runs})'


def level_lead(comparison: Comparison, at: EqualDivergence) -> str:
  """Returns the text above the tables. The first one explains the levels."""
  measure = comparison.measures['divergence']
  listed = ', '.join(map(level_text, at.levels))
  lead = (
    f'Each value is read where the {measure.label} of a run first reaches '
    f'{listed}. Source: {SOURCES[at.source]}. Mean over seeds ± standard error.'
  )
  if at.source != comparison.at_divergence[0].source:
    return lead
  return (
    f'{lead} The levels are the three largest round numbers that every method '
    'reaches, and the two largest that half of the methods reach. A method '
    'reaches a level if half of its seeds do. A dash: no seed reaches the '
    'level. (1 of 2): one of two seeds does.'
  )


def missing_methods(comparison: Comparison, at: EqualDivergence) -> list[str]:
  """Returns a note for each method without a curve, with the reason."""
  missing = [m for m in comparison.runs if m not in at.curves]
  why = {
    'training': 'it logged no step with samples of its own policy',
    'held_out': 'it has too few evaluations',
  }[at.source]
  titles = [comparison.titles[method] for method in missing]
  return [f'{title} is left out: {why}.' for title in titles]


def level_columns(
  comparison: Comparison, method: str
) -> dict[str, float | None]:
  """Returns the numbers of a method for its row of CSV, None if missing.

  Columns are SOURCE_MEASURE_at_LEVEL. With the endings _se and _seeds they hold
  the standard error and the number of seeds that reach the level.
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
