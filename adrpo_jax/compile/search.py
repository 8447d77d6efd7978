"""The largest batch and the cheapest mesh that fit, in few tries.

A try compiles for minutes. Memory grows with the batch and falls as more chips
share the weights, so both are found by bisection; memory is close to a straight
line in the batch, so the first tries of it follow the line of those before.
"""

from collections.abc import Callable, Mapping, Sequence
import math
from typing import TypeVar

T = TypeVar('T')

GUIDED = 4  # tries that follow a line; then halves, whatever the memory does


def cheapest(choices: Sequence[T], fits: Callable[[T], bool]) -> T | None:
  """Returns the first choice that fits, None if none does.

  Args:
    choices: in an order in which all fit that come after one that fits.
    fits: is called for the first, and then for log₂ of the others at most.
  """
  low, high = 0, len(choices)
  middle = 0  # The first is right most often.
  while low < high:
    if fits(choices[middle]):
      high = middle
    else:
      low = middle + 1
    middle = (low + high) // 2
  return choices[low] if low < len(choices) else None


def largest(
  needs: Callable[[int], float], capacity: float, *, least: int, most: int
) -> int:
  """Returns the largest n in [least, most] with needs(n) ≤ capacity, or 0.

  Args:
    needs: rises with n; math.inf where nothing is known but that it is too
      much.
    capacity: in the unit of `needs`.
    least: is tried first.
    most: the end of the search.
  """
  tried = {least: needs(least)}
  if tried[least] > capacity:
    return 0
  low, high = least, most + 1
  while high - low > 1:
    guess = min(max(_guess(tried, low, high, capacity), low + 1), high - 1)
    tried[guess] = needs(guess)
    if tried[guess] <= capacity:
      low = guess
    else:
      high = guess
  return low


def _guess(
  tried: Mapping[int, float], low: int, high: int, capacity: float
) -> int:
  """Returns where the line through the two tries nearest to `low` ends."""
  known = sorted(
    (n for n, need in tried.items() if need < math.inf),
    key=lambda n: abs(n - low),
  )[:2]
  if len(tried) == 1:
    return 2 * low
  if len(known) < 2 or len(tried) > GUIDED:
    return (low + high) // 2
  a, b = sorted(known)
  slope = (tried[b] - tried[a]) / (b - a)
  if slope <= 0:
    return 2 * low
  return math.floor(low + (capacity - tried[low]) / slope)
