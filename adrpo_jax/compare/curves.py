"""Curves of the comparison page: measures over steps and over divergence.

A curve is the mean over seeds at the points that all seeds of a method have.
Its band is one standard error.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from adrpo_jax.compare.divergence_tables import (
  level_lead,
  level_tables,
  missing_methods,
)
from adrpo_jax.compare.equal_divergence import (
  MEASURES,
  EqualDivergence,
  mean_over_divergence,
  training_curve,
)
from adrpo_jax.compare.results import Comparison
from adrpo_jax.figures import lines as compare_lines
from adrpo_jax.figures.lines import Line
from adrpo_jax.figures.pareto import PLOT
from adrpo_jax.figures.style import make_drawing
from adrpo_jax.report import page
from adrpo_jax.report.run_record import series
from adrpo_jax.stats.estimates import Estimate, estimate

Series = tuple[np.ndarray, np.ndarray]  # x and values, [K] each


def equal_divergence_sections(comparison: Comparison) -> list[str]:
  """Returns a section for each source of curves."""
  return [_equal_divergence(comparison, at) for at in comparison.at_divergence]


def _equal_divergence(comparison: Comparison, at: EqualDivergence) -> str:
  divergence = comparison.measures['divergence']
  kind = {'training': 'during training', 'held_out': 'on held-out prompts'}
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
    page.notes(missing_methods(comparison, at)),
    page.grid('two', _over_divergence(comparison, at)),
  )


def _over_divergence(comparison: Comparison, at: EqualDivergence) -> list[str]:
  divergence = comparison.measures['divergence']
  figures = []
  for key in at.values:
    measure = comparison.measures[key]
    curves = {
      method: mean_over_divergence(curves, key)
      for method, curves in at.curves.items()
    }
    lines = [
      _line(comparison, method, x, estimates)
      for method, (x, estimates) in curves.items()
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
        make_drawing(draw, size=PLOT),
        f'{measure.title} over {divergence.head}',
        'Read where the divergence is first reached, on the range that all '
        'seeds of a method share.',
      )
    )
  return figures


def progress_section(comparison: Comparison) -> str:
  """Returns the section of measures over steps."""
  curves = {
    method: [training_curve(run) for run in runs]
    for method, runs in comparison.runs.items()
  }
  steps = {
    key: {
      method: [(c.steps, c.values[key]) for c in group if key in c.values]
      for method, group in curves.items()
    }
    for key in MEASURES
  }
  held_out = {
    key: {
      method: [series(run.evaluations, key) for run in runs]
      for method, runs in comparison.runs.items()
    }
    for key in (comparison.goal.key, 'diversity')
  }
  figures = [
    *_progress(comparison, held_out, 'On held-out prompts.'),
    *_progress(comparison, steps, 'On training prompts, a running mean.'),
  ]
  title = 'During training'
  if not figures:
    line = 'No method has two evaluations at the same steps in all its seeds.'
    return page.section(title, '', page.note(line))
  lead = 'Mean over seeds; the band is one standard error.'
  return page.section(title, lead, page.grid('two', figures))


def _progress(
  comparison: Comparison,
  curves: dict[str, dict[str, list[Series]]],
  caption: str,
) -> Iterable[str]:
  """Yields a figure for each measure that a method has values for."""
  for key, by_method in curves.items():
    means = {method: _mean(runs) for method, runs in by_method.items()}
    lines = [
      _line(comparison, method, x, estimates)
      for method, (x, estimates) in means.items()
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
    drawing = make_drawing(draw, size=PLOT)
    yield page.figure(drawing, f'{measure.title} over training', caption)


def _mean(curves: Sequence[Series]) -> tuple[np.ndarray, list[Estimate]]:
  """Returns the mean of curves at the steps that all of them have."""
  values = [dict(zip(*curve, strict=True)) for curve in curves]
  steps = sorted(set.intersection(*map(set, values))) if values else []
  estimates = [estimate([value[step] for value in values]) for step in steps]
  return np.array(steps), [point for point in estimates if point is not None]


def _line(
  comparison: Comparison, method: str, x: np.ndarray, estimates: list[Estimate]
) -> Line:
  return Line(
    comparison.titles[method],
    list(comparison.runs).index(method),
    x,
    np.array([point.mean for point in estimates]),
    np.array([point.error or 0.0 for point in estimates]),
  )
