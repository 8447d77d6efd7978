"""Sections of a comparison's page: methods on their way, and at equal distance.

A curve is a mean over seeds at points that all seeds of a method have; its band
is one standard error.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from adrpo_jax.compare.divergence_tables import level_lead, level_tables, unread
from adrpo_jax.compare.equal_divergence import (
  READ,
  AtDivergence,
  over_divergence,
  training_way,
)
from adrpo_jax.compare.results import Comparison
from adrpo_jax.figures import lines as compare_lines
from adrpo_jax.figures.lines import Line
from adrpo_jax.figures.pareto import PLOT
from adrpo_jax.figures.style import drawn
from adrpo_jax.report import page
from adrpo_jax.report.run_record import series
from adrpo_jax.stats.estimates import Estimate, estimate
from adrpo_jax.stats.measures import method_title

Curve = tuple[np.ndarray, np.ndarray]  # x and values, [K] each

HELD_OUT = ('success', 'diversity')  # drawn over the evaluations


def at_equal_divergence(comparison: Comparison) -> list[str]:
  """A section for each record by which methods can be compared so."""
  return [_equal_divergence(comparison, at) for at in comparison.at_divergence]


def _equal_divergence(comparison: Comparison, at: AtDivergence) -> str:
  divergence = comparison.measures['divergence']
  kind = {'training': 'while training', 'held_out': 'on held-out prompts'}
  tables = [
    page.table(
      table.head,
      [list(map(page.number, row)) for row in table.rows],
      own='ADRPO',
      dense=True,
    )
    for table in level_tables(comparison, at).values()
  ]
  return page.section(
    f'At equal {divergence.head}, {kind[at.source]}',
    level_lead(comparison, at),
    *tables,
    page.notes(unread(comparison, at)),
    page.grid('two', _over_divergence(comparison, at)),
  )


def _over_divergence(comparison: Comparison, at: AtDivergence) -> list[str]:
  divergence = comparison.measures['divergence']
  figures = []
  for key in at.values:
    measure = comparison.measures[key]
    curves = {
      method: over_divergence(ways, key) for method, ways in at.ways.items()
    }
    lines = [
      _line(comparison, method, x, found)
      for method, (x, found) in curves.items()
      if len(x) > 1
    ]
    if not lines:
      continue
    draw = partial(
      compare_lines.draw_over_divergence,
      lines=lines,
      x_label=divergence.label,
      label=measure.title.lower(),
    )
    figures.append(
      page.figure(
        drawn(draw, size=PLOT),
        f'{measure.title} over {divergence.head}',
        'Where it is first reached, as far as all seeds of a method go.',
      )
    )
  return figures


def on_the_way(comparison: Comparison) -> str:
  """Measures over steps: of the evaluations, and of the steps themselves."""
  ways = {
    method: [training_way(run) for run in runs]
    for method, runs in comparison.runs.items()
  }
  steps = {
    key: {
      method: [(way.steps, way.values[key]) for way in of if key in way.values]
      for method, of in ways.items()
    }
    for key in READ
  }
  held_out = {
    key: {
      method: [series(run.evaluations, key) for run in runs]
      for method, runs in comparison.runs.items()
    }
    for key in HELD_OUT
  }
  figures = [
    *_progress(comparison, held_out, 'held-out prompts'),
    *_progress(comparison, steps, 'of each step, a running mean'),
  ]
  title = 'On the way'
  if not figures:
    line = 'No method has two evaluations that its seeds share.'
    return page.section(title, '', page.note(line))
  lead = 'Mean over seeds; the band is one standard error.'
  return page.section(title, lead, page.grid('two', figures))


def _progress(
  comparison: Comparison,
  curves: dict[str, dict[str, list[Curve]]],
  caption: str,
) -> Iterable[str]:
  """A figure for each measure of which a method has a line."""
  for key, by_method in curves.items():
    means = {method: _mean(runs) for method, runs in by_method.items()}
    lines = [
      _line(comparison, method, x, found)
      for method, (x, found) in means.items()
      if len(x) > 1
    ]
    if not lines:
      continue
    measure = comparison.measures[key]
    draw = partial(
      compare_lines.draw_progress,
      lines=lines,
      label=measure.title.lower(),
      percent=measure.share,
    )
    drawing = drawn(draw, size=PLOT)
    yield page.figure(drawing, f'{measure.title} over training', caption)


def _mean(curves: Sequence[Curve]) -> tuple[np.ndarray, list[Estimate]]:
  """The mean of curves at the steps that all of them have."""
  values = [dict(zip(*curve, strict=True)) for curve in curves]
  steps = sorted(set.intersection(*map(set, values))) if values else []
  found = [estimate([value[step] for value in values]) for step in steps]
  return np.array(steps), [point for point in found if point is not None]


def _line(
  comparison: Comparison, method: str, x: np.ndarray, found: list[Estimate]
) -> Line:
  return Line(
    method_title(method),
    list(comparison.runs).index(method),
    x,
    np.array([point.mean for point in found]),
    np.array([point.error or 0.0 for point in found]),
  )
