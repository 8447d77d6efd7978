"""The curves of one run's report: which numbers are drawn over the steps."""

from functools import partial
from typing import NamedTuple

from adrpo_jax.figures import curves
from adrpo_jax.figures.curves import Points
from adrpo_jax.figures.style import drawn
from adrpo_jax.report.charts import Chart, evaluated
from adrpo_jax.report.run_record import RunRecord, series


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


REWARD = Curve('reward', 'reward', 'Reward', 'what is optimized')
OPTIMISATION = (
  Curve('reward_std', '', 'Spread of the reward', 'standard deviation'),
  Curve('policy_loss', '', 'Policy loss', 'the first term of the loss'),
  Curve('loss', '', 'Loss', 'all terms, weighted; need not fall'),
  Curve('grad_norm', '', 'Gradient norm', 'before clipping'),
  Curve('update_norm', '', 'Update norm', 'how far a step moves'),
)
EQUAL = Curve(
  'zero_variance',
  '',
  'Groups of equal rewards',
  'share of prompts that teach nothing',
  percent=True,
)
FLOW = (
  REWARD,
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
  *OPTIMISATION,
  Curve(
    'advantage_over_beta0_max',
    '',
    'Largest A / β₀',
    'below 1 ADRPO has a stable fixed point',
    line=(1.0, 'A = β₀'),
  ),
  EQUAL,
)
LANGUAGE = (
  REWARD,
  Curve(
    'success',
    'success',
    'Success',
    'answers that the judge lets pass',
    percent=True,
  ),
  Curve(
    'divergence',
    'divergence',
    'Divergence',
    'KL to the reference, nats per token',
  ),
  Curve('entropy', 'entropy', 'Entropy', 'of the next token, in nats'),
  Curve(
    'diversity_distinct',
    'diversity',
    'Diversity',
    'pairs of answers that differ',
  ),
  Curve('length', 'length', 'Answer length', 'in tokens'),
  Curve(
    'truncated',
    'truncated',
    'Truncated',
    'share of answers that the limit cuts off',
    percent=True,
  ),
  Curve('beta_mean', '', 'Weight of the KL', 'mean β of the samples'),
  Curve(
    'past_flip',
    '',
    'Past the flip',
    'share of tokens where π < π_ref/2, and a negative β would push on',
    percent=True,
  ),
  *OPTIMISATION,
  EQUAL,
)
CURVES = {'flow': FLOW, 'language': LANGUAGE}  # by modality


def curve_charts(run: RunRecord) -> tuple[list[Chart], list[str]]:
  """(charts, titles of the curves that this run has no numbers for)."""
  charts, missing = [], []
  for curve in CURVES[run.modality]:
    steps, values = series(run.metrics, curve.key)
    held_out = evaluated(run.evaluations, curve.held_out)
    if not len(values) and not len(held_out.values):
      missing.append(curve.title)
      continue
    draw = partial(
      curves.draw_curve,
      training=Points(steps, values),
      held_out=held_out,
      line=curve.line,
      percent=curve.percent,
    )
    drawing = drawn(draw, size=curves.CURVE)
    name = curve.held_out or curve.key
    charts.append(Chart(name, curve.title, curve.caption, drawing))
  return charts, missing
