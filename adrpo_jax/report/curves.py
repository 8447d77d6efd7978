"""The curves of one run's report: the numbers that it draws over steps."""

from functools import partial
from typing import NamedTuple

from adrpo_jax.figures import curves
from adrpo_jax.figures.curves import Points
from adrpo_jax.figures.style import make_drawing
from adrpo_jax.report.charts import Chart, evaluated
from adrpo_jax.report.run_record import RunRecord, series
from adrpo_jax.stats.measures import guided_keys


class CurveSpec(NamedTuple):
  """A number that is drawn over steps.

  key:      its name in metrics.jsonl, or '' if it is not logged
  held_out: its name in evaluations.jsonl, or '' if it is not evaluated
  line:     the height of a dashed line and its name
  """

  key: str
  held_out: str
  title: str
  caption: str
  line: tuple[float, str] | None = None
  percent: bool = False


REWARD_CURVE = CurveSpec('reward', 'reward', 'Reward', 'the training objective')
OPTIMIZATION_CURVES = (
  CurveSpec(
    'reward_std', '', 'Spread of the reward', 'standard deviation of a step'
  ),
  CurveSpec(
    'policy_loss',
    '',
    'Policy loss',
    'the term of the loss that follows the reward',
  ),
  CurveSpec('loss', '', 'Loss', 'weighted sum of all terms; it need not fall'),
  CurveSpec('grad_norm', '', 'Gradient norm', 'before clipping'),
  CurveSpec(
    'update_norm',
    '',
    'Update norm',
    'distance that a step moves the parameters',
  ),
)
EQUAL_REWARDS_CURVE = CurveSpec(
  'zero_variance',
  '',
  'Groups of equal rewards',
  'share of prompts without a learning signal',
  percent=True,
)
FLOW_CURVES = (
  REWARD_CURVE,
  CurveSpec(
    'success',
    'success',
    'Success',
    'all facts of the prompt hold',
    percent=True,
  ),
  CurveSpec('divergence', 'divergence', 'Divergence', 'W2 to the reference'),
  CurveSpec('', 'diversity', 'Diversity', 'of what the prompt leaves open'),
  CurveSpec(
    'diversity_pixel',
    'diversity_pixel',
    'Pixel diversity',
    'mean pixel distance within a prompt',
  ),
  *OPTIMIZATION_CURVES,
  CurveSpec(
    'advantage_over_beta0_max',
    '',
    'Largest A / β₀',
    'ADRPO has a stable fixed point below 1',
    line=(1.0, 'A = β₀'),
  ),
  EQUAL_REWARDS_CURVE,
)
LANGUAGE_CURVES = (
  REWARD_CURVE,
  CurveSpec(
    'success',
    'success',
    'Success',
    'share of answers that the judge accepts',
    percent=True,
  ),
  CurveSpec(
    'divergence',
    'divergence',
    'Divergence',
    'KL to the reference, nats per token',
  ),
  CurveSpec('entropy', 'entropy', 'Entropy', 'of the next token in nats'),
  CurveSpec(
    'diversity_distinct',
    'diversity',
    'Diversity',
    'share of answer pairs that differ',
  ),
  CurveSpec('length', 'length', 'Answer length', 'in tokens'),
  CurveSpec(
    'truncated',
    'truncated',
    'Truncated',
    'share of answers cut off at the length limit',
    percent=True,
  ),
  CurveSpec('beta_mean', '', 'Weight of the KL term', 'mean β of the samples'),
  CurveSpec(
    'past_flip',
    '',
    'Past the flip',
    'share of tokens with π < π_ref/2, where a negative β would not stop',
    percent=True,
  ),
  *OPTIMIZATION_CURVES,
  EQUAL_REWARDS_CURVE,
)
CURVES = {'flow': FLOW_CURVES, 'language': LANGUAGE_CURVES}  # by modality


def curve_charts(run: RunRecord) -> tuple[list[Chart], list[str]]:
  """Returns charts, and titles of curves that this run has no numbers for."""
  charts, missing = [], []
  for curve in (*CURVES[run.modality], *_guided_curves(run)):
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
    drawing = make_drawing(draw, size=curves.CURVE)
    name = curve.held_out or curve.key
    charts.append(Chart(name, curve.title, curve.caption, drawing))
  return charts, missing


def _guided_curves(run: RunRecord) -> list[CurveSpec]:
  """Returns the curve of the goal at each further guidance scale."""
  measures = [run.measures[k] for k in guided_keys(run.measures, run.goal.key)]
  return [
    CurveSpec('', m.key, m.title, m.meaning, percent=m.share) for m in measures
  ]
