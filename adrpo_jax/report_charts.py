"""The charts of one run's report: from records to drawings with captions."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from adrpo_jax import figures, heat_map
from adrpo_jax.figure_style import Drawing, drawn
from adrpo_jax.figures import Points
from adrpo_jax.run_record import Record, RunRecord, series


class Chart(NamedTuple):
  """A drawing, the file it is known by, and what the page says above it."""

  name: str
  title: str
  caption: str
  drawing: Drawing


class Curve(NamedTuple):
  """A number to draw over steps.

  key:      its name in metrics.jsonl, if it is logged there
  held_out: its name in evaluations.jsonl, if it is evaluated
  line:     a level of interest and its name
  """

  key: str
  held_out: str
  title: str
  caption: str
  line: tuple[float, str] | None = None
  percent: bool = False


CURVES = (
  Curve('reward', 'reward', 'Reward', 'what is optimised'),
  Curve(
    'success',
    'success',
    'Success',
    'every fact of the prompt holds',
    percent=True,
  ),
  Curve('divergence', 'divergence', 'Divergence', 'W2 to the reference'),
  Curve('', 'diversity', 'Diversity', 'of what the prompt leaves free'),
  Curve(
    'diversity_pixel',
    'diversity_pixel',
    'Pixel diversity',
    'mean distance within a prompt',
  ),
  Curve('reward_std', '', 'Spread of the reward', 'standard deviation'),
  Curve('policy_loss', '', 'Policy loss', 'unweighted'),
  Curve('loss', '', 'Loss', 'all terms, weighted; need not fall'),
  Curve('grad_norm', '', 'Gradient norm', 'before clipping'),
  Curve('update_norm', '', 'Update norm', 'how far a step moves'),
  Curve(
    'advantage_over_beta0_max',
    '',
    'Largest A / β₀',
    'below 1 ADRPO has a stable fixed point',
    line=(1.0, 'A = β₀'),
  ),
  Curve(
    'zero_variance',
    '',
    'Groups of equal rewards',
    'share of prompts that teach nothing',
    percent=True,
  ),
)


def evaluated(evaluations: Iterable[Record], key: str) -> Points:
  """A measure of the evaluations, with its standard error where recorded."""
  evaluations = list(evaluations)
  steps, values = series(evaluations, key)
  errors_at = dict(zip(*series(evaluations, f'{key}_se'), strict=True))
  errors = np.array([errors_at.get(step, 0.0) for step in steps])
  return Points(steps, values, errors)


def curve_charts(run: RunRecord) -> tuple[list[Chart], list[str]]:
  """(charts, titles of the curves that this run has no numbers for)."""
  charts, missing = [], []
  for curve in CURVES:
    steps, values = series(run.metrics, curve.key)
    held_out = evaluated(run.evaluations, curve.held_out)
    if not len(values) and not len(held_out.values):
      missing.append(curve.title)
      continue
    draw = partial(
      figures.draw_curve,
      training=Points(steps, values),
      held_out=held_out,
      line=curve.line,
      percent=curve.percent,
    )
    drawing = drawn(draw, size=figures.CURVE)
    name = curve.held_out or curve.key
    charts.append(Chart(name, curve.title, curve.caption, drawing))
  return charts, missing


def trajectory_charts(run: RunRecord) -> list[Chart]:
  """Reward against divergence and against diversity, over the evaluations."""
  charts = []
  for key, label, caption in (
    ('divergence', 'divergence (W2)', 'What a gain costs: up is better.'),
    ('diversity', 'diversity', 'Up and right is better.'),
  ):
    points = [
      e
      for e in run.evaluations
      if len(series([e], 'reward')[1]) and len(series([e], key)[1])
    ]
    if len(points) < 2:
      continue
    x, y = evaluated(points, key), evaluated(points, 'reward')
    draw = partial(
      figures.draw_trajectory,
      steps=x.steps,
      x=x.values,
      y=y.values,
      x_errors=x.errors,
      y_errors=y.errors,
      x_label=label,
      y_label='reward',
    )
    title = f'Reward and {key}'
    drawing = drawn(draw, size=figures.PANEL)
    charts.append(Chart(f'reward_{key}', title, caption, drawing))
  return charts


def beta_chart(run: RunRecord) -> Chart | None:
  """The heat map of β over steps, where the run logged histograms."""
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
    'Darker where more samples lie; orange is the mean. Good samples have a '
    'low β and are released, poor ones a high β and are pulled back.',
    drawn(draw, size=figures.PANEL),
  )


def bucket_chart(run: RunRecord) -> Chart | None:
  """W2 by time bucket, σ from data (0) to noise (1) in equal parts."""
  logged = [
    m
    for m in run.metrics
    if m.get('divergence_by_sigma')
    and np.isfinite(np.array(m['divergence_by_sigma'], float)).all()
  ]
  if not logged:
    return None
  draw = partial(
    figures.draw_buckets,
    steps=np.array([m['step'] for m in logged], float),
    values=np.array([m['divergence_by_sigma'] for m in logged], float),
  )
  return Chart(
    'divergence_by_sigma',
    'Divergence by noise level',
    'W2 in equal parts of σ, from data (0) to noise (1).',
    drawn(draw, size=figures.PANEL),
  )


def category_chart(run: RunRecord) -> Chart | None:
  """Success by category of prompt, base beside tuned."""
  base = run.base.get('by_category') or {}
  tuned = run.final.get('by_category') or {}
  names = list(dict.fromkeys([*base, *tuned]))
  if not names:
    return None
  draw = partial(
    figures.draw_categories,
    names=names,
    base=_values(base, names),
    tuned=_values(tuned, names),
  )
  return Chart(
    'categories',
    'Success by category',
    'In percent of the held-out prompts of each kind; grey base, blue tuned.',
    drawn(draw, size=figures.PANEL),
  )


def _values(by_name: Record, names: Sequence[str]) -> list[float]:
  return [float(by_name.get(name, np.nan)) for name in names]


def seconds_chart(run: RunRecord) -> Chart | None:
  """Seconds of a step by stage."""
  stages = ('rollout', 'reward', 'update')
  columns = {stage: series(run.metrics, f'seconds_{stage}') for stage in stages}
  steps = columns['rollout'][0]
  if not len(steps) or any(len(s) != len(steps) for s, _ in columns.values()):
    return None
  draw = partial(
    figures.draw_seconds,
    steps=steps,
    parts={stage: values for stage, (_, values) in columns.items()},
  )
  return Chart(
    'seconds',
    'Where a step spends its time',
    'Seconds of wall clock, as a running mean.',
    drawn(draw, size=figures.PANEL),
  )
