"""The area that a set of points dominates: one number for a whole front."""

from collections.abc import Sequence

import numpy as np


def hypervolume(
  points: Sequence[tuple[float, float]],
  reference: tuple[float, float],
  *,
  more_is_better: tuple[bool, bool],
) -> float:
  """Returns the area between the points and a reference that is worse.

  It is the area of the union of the rectangles between a point and the
  reference. A point that is not better than the reference in both measures has
  none. A larger area is a better front. Source: Zitzler and Thiele,
  Multiobjective evolutionary algorithms, 1999, https://doi.org/10.1109/4235.797969

  Args:
    points: (first, second) of each.
    reference: a point that bounds the area.
    more_is_better: for each of the measures.
  """
  signs = np.where(more_is_better, 1.0, -1.0)
  gains = (np.asarray(points, float).reshape(-1, 2) - reference) * signs
  gains = gains[(gains > 0).all(1)]
  area = reached = 0.0
  for width, height in gains[np.argsort(-gains[:, 0])]:
    # From the widest on, a point adds what is above those before.
    area += width * max(0.0, height - reached)
    reached = max(reached, height)
  return float(area)
