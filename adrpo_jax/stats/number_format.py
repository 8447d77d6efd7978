"""Formats numbers and their standard errors for readers."""

import math
from typing import Any, TypeGuard

import numpy as np

MINUS = '\u2212'


def is_finite(value: Any) -> TypeGuard[float]:
  """Returns True for a number that is neither infinite nor NaN.

  What stands in its place in a damaged record, a text or a list, is none.
  """
  is_number = isinstance(value, int | float | np.integer | np.floating)
  return is_number and bool(-math.inf < value < math.inf)


def decimal_places(*values: float | None) -> int:
  """Returns the places that show three digits of the largest value, min. 3."""
  largest = max(
    (abs(value) for value in values if is_finite(value)), default=0.0
  )
  if largest == 0.0 or largest >= 0.1:
    return 3
  return min(6, 2 - math.floor(math.log10(largest)))


def decimal(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """Formats a number and its standard error: "0.712 ± 0.006", or "–"."""
  if not is_finite(value):
    return '–'
  places = decimal_places(value) if places is None else places
  text = f'{value:.{places}f}'.replace('-', MINUS)
  return f'{text} ± {error:.{places}f}' if is_finite(error) else text


def percent(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """Formats a share and its standard error in percent: "66.2 ± 1.4 %"."""
  if not is_finite(value):
    return '–'
  places = 1 if places is None else places
  text = f'{100 * value:.{places}f}'.replace('-', MINUS)
  if is_finite(error):
    text += f' ± {100 * error:.{places}f}'
  return f'{text} %'


def decimal_difference(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """Formats a difference and its standard error: "+0.131 ± 0.009"."""
  if not is_finite(value):
    return '–'
  return ('+' if value >= 0 else MINUS) + decimal(abs(value), error, places)


def point_difference(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """Formats a difference of shares in percentage points: "+25.2 ± 2.0 pp"."""
  if not is_finite(value):
    return '–'
  text = percent(abs(value), error, places).removesuffix(' %')
  return ('+' if value >= 0 else MINUS) + text + ' pp'


def p_value(p: float) -> str:
  """Formats a p value with two digits: "0.034", "0.50", "< 0.001"."""
  if p < 0.001:
    return '< 0.001'
  return f'{p:.3f}' if p < 0.1 else f'{p:.2f}'
