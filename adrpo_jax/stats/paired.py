"""Two models on the same items: which one is better, and how sure that is.

An item is a prompt or a question. Its score is 0 or 1 for one answer, and a
mean for several samples or seeds: they share the item, so that they are no
further items.
"""

import math
from typing import NamedTuple

import numpy as np

DRAWS = 4000  # of a bootstrap
TIE = 1e-6  # scores nearer than this are equal


class Paired(NamedTuple):
  """A comparison of two models, item by item.

  items:      n, those with a score of both
  first:      mean score of the first model
  second:     of the second
  difference: first − second
  low, high:  the 95 % interval of the difference, by a bootstrap over items
  better:     b, items on which the first model has the higher score
  worse:      c, items on which the second has it
  p:          of the exact two-sided test, see `sign_test`
  """

  items: int
  first: float
  second: float
  difference: float
  low: float
  high: float
  better: int
  worse: int
  p: float


def paired(first: np.ndarray, second: np.ndarray) -> Paired | None:
  """Compares two models by their scores on the same items.

  Args:
    first: [items], or [seeds, items], whose mean over seeds counts.
    second: the same items in the same order; other seeds.

  Returns:
    The comparison over the items that have finite scores of both; None if
    there is none.
  """
  one, other = (np.atleast_2d(s).astype(float).mean(0) for s in (first, second))
  if one.shape != other.shape:
    raise ValueError(f'Expected the same items, got {one.size}, {other.size}.')
  known = np.isfinite(one) & np.isfinite(other)
  one, other = one[known], other[known]
  if not one.size:
    return None
  gap = one - other
  better, worse = int((gap > TIE).sum()), int((gap < -TIE).sum())
  return Paired(
    int(one.size),
    float(one.mean()),
    float(other.mean()),
    float(gap.mean()),
    *bootstrap(gap),
    better,
    worse,
    sign_test(better, worse),
  )


def sign_test(better: int, worse: int) -> float:
  """Returns p of the exact two-sided test that either sign is equally likely.

  p = min(1, 2 · Σ_{k ≤ min(b, c)} C(b + c, k) / 2^(b + c))

  For scores of 0 and 1 this is McNemar's exact test. Items on which both models
  have the same score say nothing, and do not enter.
  """
  total, least = better + worse, min(better, worse)
  tail = sum(math.comb(total, k) for k in range(least + 1))
  return min(1.0, 2 * tail / 2**total) if total else 1.0


def bootstrap(
  values: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
  """Returns the 2.5 % and 97.5 % points of the mean of resampled items [n]."""
  generator = np.random.default_rng(seed)
  means = [
    values[generator.integers(values.size, size=values.size)].mean()
    for _ in range(draws)
  ]
  low, high = np.percentile(means, [2.5, 97.5])
  return float(low), float(high)
