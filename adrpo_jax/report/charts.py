"""The charts of one run's report: drawings with captions, from its records."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from adrpo_jax.figures import curves, heat_map, trajectories
from adrpo_jax.figures.curves import Points
from adrpo_jax.figures.style import Drawing, make_drawing
from adrpo_jax.figures.trajectories import PlanePath
from adrpo_jax.report.run_record import Record, RunRecord, series
from adrpo_jax.stats.smoothing import running_mean, smoothing_window
from adrpo_jax.stats.utilization import STAGES


class Chart(NamedTuple):
  """A drawing with its file name, and the title and caption on the page."""

  name: str
  title: str
  caption: str
  drawing: Drawing


COSTS = {  # measure: the caption of the reward over it
  'divergence': 'Divergence that a gain in reward costs. Up is better.',
  'entropy': 'Further left, the policy is more certain of its tokens. At 0 it '
  'has collapsed.',
  'diversity': 'Up and right is better.',
}


def evaluated(evaluations: Iterable[Record], key: str) -> Points:
  """Returns a measure of the evaluations with its standard errors, if any."""
  evaluations = list(evaluations)
  steps, values = series(evaluations, key)
  errors_at = dict(zip(*series(evaluations, f'{key}_se'), strict=True))
  errors = np.array([errors_at.get(step, 0.0) for step in steps])
  return Points(steps, values, errors)


def trajectory_charts(run: RunRecord) -> list[Chart]:
  """Returns charts of the reward over the measures in COSTS.

  A chart needs two evaluations or two steps with both the measure and the
  reward.
  """
  charts = []
  for key, caption in COSTS.items():
    held_out = [e for e in run.evaluations if _has_both(e, key)]
    training = _smoothed([m for m in run.metrics if _has_both(m, key)], key)
    if max(len(held_out), len(training.steps)) < 2 or key not in run.measures:
      continue
    x, y = evaluated(held_out, key), evaluated(held_out, 'reward')
    measure = run.measures[key]
    draw = partial(
      trajectories.draw_trajectory,
      evaluations=PlanePath(x.steps, x.values, y.values),
      errors=(x.errors, y.errors),
      training=training,
      x_label=measure.label,
      y_label='reward',
    )
    title = f'Reward and {measure.short or key}'
    drawing = make_drawing(draw, size=curves.PANEL)
    charts.append(Chart(f'reward_{key}', title, caption, drawing))
  return charts


def _has_both(record: Record, key: str) -> bool:
  return all(len(series([record], name)[1]) for name in ('reward', key))


def _smoothed(records: Sequence[Record], key: str) -> PlanePath:
  """Returns the path of training: running means over a tenth of its steps."""
  steps, x = series(records, key)
  y = series(records, 'reward')[1]
  window = smoothing_window(len(steps))
  if len(steps):
    x, y = (running_mean(values, window) for values in (x, y))
  return PlanePath(steps, x, y)


def beta_chart(run: RunRecord) -> Chart | None:
  """Returns the heat map of β over steps, if the run logged histograms."""
  logged = [m for m in run.metrics if m.get('beta_histogram')]
  data = heat_map.heat_map(
    [m['beta_histogram'] for m in logged], [m['step'] for m in logged]
  )
  if data is None:
    return None
  draw = partial(
    heat_map.draw_heat_map,
    data=data,
    mean=Points(*series(run.metrics, 'beta_mean')),
  )
  return Chart(
    'beta',
    'β over time',
    'Darker means more samples, orange is the mean. A good sample has a low β '
    'and may leave the reference; a poor one has a high β and is pulled back.',
    make_drawing(draw, size=curves.PANEL),
  )


def bucket_chart(run: RunRecord) -> Chart | None:
  """Returns the chart of W2 by noise level, σ from 0 to 1 in equal parts."""
  logged = [
    m
    for m in run.metrics
    if m.get('divergence_by_sigma')
    and np.isfinite(np.array(m['divergence_by_sigma'], float)).all()
  ]
  if not logged:
    return None
  draw = partial(
    curves.draw_buckets,
    steps=np.array([m['step'] for m in logged], float),
    values=np.array([m['divergence_by_sigma'] for m in logged], float),
  )
  return Chart(
    'divergence_by_sigma',
    'Divergence by noise level',
    'W2 in equal parts of σ, from data (0) to noise (1).',
    make_drawing(draw, size=curves.PANEL),
  )


def sign_chart(run: RunRecord) -> Chart | None:
  """Returns the chart of KL by the sign of the advantage, if it is logged."""
  lines = {
    'A > 0': Points(*series(run.metrics, 'divergence_good')),
    'A < 0': Points(*series(run.metrics, 'divergence_poor')),
  }
  if not all(len(line.values) for line in lines.values()):
    return None
  draw = partial(curves.draw_contrast, lines=lines, label='nats per token')
  return Chart(
    'divergence_by_sign',
    'KL by the sign of the advantage',
    'Good answers have A > 0. Adaptive regularization lets them move further '
    'from the reference than poor ones.',
    make_drawing(draw, size=curves.PANEL),
  )


def category_chart(run: RunRecord) -> Chart | None:
  """Returns the chart of the goal by category of prompt, base beside tuned."""
  base = run.base.get('by_category') or {}
  tuned = run.final.get('by_category') or {}
  names = list(dict.fromkeys([*base, *tuned]))
  if not names:
    return None
  goal = run.goal
  draw = partial(
    curves.draw_categories if goal.share else curves.draw_category_scores,
    names=names,
    base=_values(base, names),
    tuned=_values(tuned, names),
  )
  kind = 'In percent' if goal.share else 'The mean'
  return Chart(
    'categories',
    f'{goal.title} by category',
    f'{kind}, on the held-out prompts of each category. Gray is the base, '
    'blue the tuned model.',
    make_drawing(draw, size=curves.PANEL),
  )


def _values(by_name: Record, names: Sequence[str]) -> list[float]:
  return [float(by_name.get(name, np.nan)) for name in names]


def seconds_chart(run: RunRecord) -> Chart | None:
  """Returns the chart of the seconds of a step by stage."""
  columns = {stage: series(run.metrics, f'seconds_{stage}') for stage in STAGES}
  steps = columns['rollout'][0]
  if len(columns['host'][0]) < len(steps):  # An older run has not told them.
    del columns['host']
  if not len(steps) or any(len(s) != len(steps) for s, _ in columns.values()):
    return None
  draw = partial(
    curves.draw_seconds,
    steps=steps,
    parts={stage: values for stage, (_, values) in columns.items()},
  )
  return Chart(
    'seconds',
    'Time of a step by stage',
    'Wall-clock seconds, running mean.',
    make_drawing(draw, size=curves.PANEL),
  )
