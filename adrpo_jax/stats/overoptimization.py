"""Over-optimization: a monitored reward falls while the trained one rises.

A trained reward that stands for something else can be raised at the cost of
what it stands for. A second reward that is only monitored shows it: it rises
with the first, has a peak, and falls (Gao et al., arXiv 2210.10760).
"""

from collections.abc import Collection, Mapping, Sequence
import math
from typing import Any, NamedTuple

from adrpo_jax.stats.number_format import is_finite

Evaluation = Mapping[str, Any]


class Fall(NamedTuple):
  """A monitored reward that is below its peak.

  name:  of the reward
  step:  of its peak
  peak, last: its values there and at the last evaluation
  error: the standard error of last − peak
  trained_peak, trained_last: the trained reward at both
  """

  name: str
  step: int
  peak: float
  last: float
  error: float
  trained_peak: float
  trained_last: float


def falls(
  evaluations: Sequence[Evaluation], monitored: Collection[str]
) -> list[Fall]:
  """Returns the monitored rewards that fell while the trained one rose.

  A reward has fallen if its last value is below its largest by more than two
  standard errors of their difference, √(se² + se²). The trained reward has
  risen if its last value is above that at the peak.

  Args:
    evaluations: records in the order of steps, with `step`, `reward`, and
      NAME/reward and NAME/reward_se of each monitored reward.
    monitored: names of the rewards that are measured and not trained on.
  """
  found = []
  for name in monitored:
    key = f'{name}/reward'
    known = [e for e in evaluations if _all_finite(e, key, 'reward')]
    if not known:
      continue
    peak, last = max(known, key=lambda e: e[key]), known[-1]
    error = math.hypot(*(e.get(f'{key}_se') or 0.0 for e in (peak, last)))
    fell = peak[key] - last[key] > 2 * error
    if fell and last['reward'] > peak['reward']:
      values = peak[key], last[key], error, peak['reward'], last['reward']
      found.append(Fall(name, peak['step'], *values))
  return found


def _all_finite(evaluation: Evaluation, *keys: str) -> bool:
  return all(is_finite(evaluation.get(key)) for key in keys)
