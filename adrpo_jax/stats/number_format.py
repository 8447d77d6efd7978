"""How numbers are written for people, with their standard errors."""

import math
from typing import TypeGuard

MINUS = '\u2212'


def known(value: float | None) -> TypeGuard[float]:
  """Whether a number is there and finite."""
  return value is not None and math.isfinite(value)


def decimals(*values: float | None) -> int:
  """Places that show three digits of the largest of values; at least 3."""
  largest = max((abs(value) for value in values if known(value)), default=0.0)
  if largest == 0.0 or largest >= 0.1:
    return 3
  return min(6, 2 - math.floor(math.log10(largest)))


def plain(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """A number and its standard error: "0.712 ± 0.006"; "–" if unknown."""
  if not known(value):
    return '–'
  places = decimals(value) if places is None else places
  text = f'{value:.{places}f}'.replace('-', MINUS)
  return f'{text} ± {error:.{places}f}' if known(error) else text


def percent(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """A share and its standard error in percent: "66.2 ± 1.4 %"."""
  if not known(value):
    return '–'
  places = 1 if places is None else places
  text = f'{100 * value:.{places}f}'.replace('-', MINUS)
  if known(error):
    text += f' ± {100 * error:.{places}f}'
  return f'{text} %'


def plain_difference(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """A signed difference and its standard error: "+0.131 ± 0.009"."""
  if not known(value):
    return '–'
  return ('+' if value >= 0 else MINUS) + plain(abs(value), error, places)


def point_difference(
  value: float | None, error: float | None = None, places: int | None = None
) -> str:
  """A signed difference of shares, in percentage points: "+25.2 ± 2.0 pp"."""
  if not known(value):
    return '–'
  text = percent(abs(value), error, places).removesuffix(' %')
  return ('+' if value >= 0 else MINUS) + text + ' pp'
