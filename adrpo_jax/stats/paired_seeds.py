"""Two methods by the same seeds: how far apart, and how sure that is."""

from collections.abc import Sequence
import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit


class SeedGap(NamedTuple):
  """The difference of two methods over seeds.

  seeds:      n, those of both
  difference: first − second, the mean over seeds
  low, high:  its 95 % interval; infinite for one seed
  p:          of the two-sided paired t-test; 1 for one seed
  """

  seeds: int
  difference: float
  low: float
  high: float
  p: float

  @property
  def verdict(self) -> str:
    """Returns 'ahead', 'behind' or 'undecided', of the first."""
    if self.low > 0:
      return 'ahead'
    return 'behind' if self.high < 0 else 'undecided'


def seed_gap(first: Sequence[float], second: Sequence[float]) -> SeedGap:
  """Compares two methods by a number of each seed, in the same order.

  d is the difference of a seed; the interval is mean(d) ± t·s/√n, with the
  quantile t of Student's distribution for n − 1 degrees of freedom.

  Raises:
    ValueError: the seeds are not as many, or there is none.
  """
  if len(first) != len(second) or not len(first):
    raise ValueError(
      f'Expected the same seeds, got {len(first)} and {len(second)}.'
    )
  gaps = np.asarray(first, float) - np.asarray(second, float)
  count, mean = len(gaps), float(gaps.mean())
  if count == 1:
    return SeedGap(1, mean, -math.inf, math.inf, 1.0)
  error = float(gaps.std(ddof=1)) / math.sqrt(count)
  if error == 0:
    return SeedGap(count, mean, mean, mean, 0.0 if mean else 1.0)
  half = float(stdtrit(count - 1, 0.975)) * error
  p = 2 * float(stdtr(count - 1, -abs(mean) / error))
  return SeedGap(count, mean, mean - half, mean + half, p)
