r"""Numbers in texts: their exact value, or none at all, never that of a part.

A number is written in digits. It may have a sign, a currency, groups of three
digits apart, a power of ten, and be a fraction, a mixed number, a power, a
percentage or so many millions. A number that is a part of something else is
none: that of 2x, 3 + 4, \sqrt{16}, f(5), 1.2.3 or 05/03/2024.
"""

from fractions import Fraction
import re
from typing import NamedTuple

from adrpo_jax.rewards.text.number_context import is_part
from adrpo_jax.rewards.text.number_notation import plain

MAX_DIGITS = 100  # in a number; a longer one is not read
MAX_POWER = 1000  # of ten, and digits of a power

_GROUPED = '|'.join(
  (
    *(
      rf'[1-9]\d{{0,2}}(?:{mark}\d{{3}})+(?!\d)'
      for mark in (',', '_', "'", ' ')
    ),
    r'[1-9]\d?(?:,\d{2})+,\d{3}(?!\d)',  # India: 1,00,000
  )
)
_NUMBER = rf'(?:(?:{_GROUPED}|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+(?!\w))?'
_POWER = r'(?: ?\^ ?(?:\( ?[-+]?\d+ ?\)|[-+]?\d+))'
_ATOM = rf'(?:{_NUMBER}{_POWER}?|\( ?[-+]?{_NUMBER}{_POWER}? ?\))'
_FRACTION = rf'{_ATOM} ?/ ?{_ATOM}'
_MIXED = (
  r'(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)'
  r'(?: ?\(\d+\) ?/ ?\(\d+\)| [1-9]\d? ?/ ?[1-9]\d*(?![\d.,]))'
)
_SCIENTIFIC = rf'{_NUMBER} ?[*xX] ?10{_POWER}'
_SIZES = {
  'hundred': 100,
  'thousand': 10**3,
  'million': 10**6,
  'billion': 10**9,
  'trillion': 10**12,
}
_VALUE = re.compile(
  r'(?P<mark>\${0,2}(?:[-+] ?\${0,2})?(?:(?<=\$) )?)(?<![\w.])'
  rf'(?P<body>{_MIXED}|{_SCIENTIFIC}|{_FRACTION}|{_ATOM})'
  rf'(?P<sizes>(?: {{0,2}}(?:{"|".join(_SIZES)})\b)*)'
  r'(?P<percent> ?%| {0,2}per ?cent(?:age points?)?\b| {0,2}pct\b)?'
  r'(?:°(?: ?[CF]\b)?)?'
)


class Number(NamedTuple):
  """A number of a text.

  text:    as it is written, in `number_notation`, without groups and currency
  value:   exact; 1/2 for 50%
  percent: True for a percentage
  """

  text: str
  value: Fraction
  percent: bool


def last_number(text: str) -> Number | None:
  """The last number of a text; None for none, or if it is a part of more."""
  written = plain(text)
  match = None
  for match in _VALUE.finditer(written):  # noqa: B007, the last one is wanted
    pass
  if match is None:
    return None
  before, after = written[: match.start()], written[match.end() :]
  if is_part(before, match[0], after):
    return None
  return _number(match)


def whole_number(text: str) -> Number | None:
  """The number that is all of a text, but for dollars and a full stop."""
  written = plain(text).strip(' \n$').removesuffix('.').rstrip(' $')
  match = _VALUE.fullmatch(written)
  return _number(match) if match else None


def equal(
  stated: Number, right: Number, tolerance: Fraction = Fraction(0)
) -> bool:
  """True where |a − r| ≤ tolerance · |r|.

  A question may ask for percents: where one of both is a percentage and the
  other is not, 50% is 1/2 and is 50 too.
  """
  pairs = [(stated.value, right.value)]
  if stated.percent != right.percent:
    pairs += [
      (
        stated.value * (100 if stated.percent else 1),
        right.value * (100 if right.percent else 1),
      )
    ]
  return any(abs(a - r) <= tolerance * abs(r) for a, r in pairs)


def _number(match: re.Match[str]) -> Number | None:
  body = match['body']
  if sum(map(str.isdigit, body)) > MAX_DIGITS:
    return None
  value = _value(body)
  if value is None:
    return None
  for size in re.findall('|'.join(_SIZES), match['sizes']):
    value *= _SIZES[size]
  percent = match['percent'] is not None
  sizes = re.sub(' +', ' ', match['sizes'])
  sign = '-' if '-' in match['mark'] else ''
  written = re.sub(r'(?<=\d) ?\((?=\d+\) ?/)', ' (', _ungrouped(body))
  written = re.sub(r'\(([\d.]+)\)', r'\1', written)
  return Number(
    f'{sign}{written}{sizes}{"%" if percent else ""}',
    value * (-1 if sign else 1) / (100 if percent else 1),
    percent,
  )


def _value(body: str) -> Fraction | None:
  """The value of the four forms; None for what is no number after all."""
  if re.fullmatch(_MIXED, body):
    whole, above, below = map(int, re.findall(r'\d+', body.replace(',', '')))
    return whole + Fraction(above, below) if above < below else None
  if re.fullmatch(_SCIENTIFIC, body):
    return _product(*map(_atom, re.split(r' ?[*xX] ?', body)))
  dividend, divided, rest = body.partition('/')
  divisor = _atom(rest) if divided else Fraction(1)
  return _product(_atom(dividend), 1 / divisor if divisor else None)


def _product(a: Fraction | None, b: Fraction | None) -> Fraction | None:
  return None if a is None or b is None else a * b


def _atom(text: str) -> Fraction | None:
  """The value of a number, of a power, or of one in parentheses."""
  text = text.strip(' ')
  text = text.strip('( )') if text.startswith('(') else text
  base, _, power = text.lstrip('+- ').partition('^')
  digits, by = _ungrouped(base.strip(' ')), int(power.strip('( )') or 1)
  exponent = int(digits.lower().partition('e')[2] or 0)
  too_long = len(digits) * abs(by) > MAX_POWER or abs(exponent) > MAX_POWER
  if too_long or digits.startswith('00'):
    return None
  number = Fraction(digits)
  if by < 0 and not number:
    return None
  return (-1 if text.startswith('-') else 1) * number**by


def _ungrouped(text: str) -> str:
  """A number without the marks between its groups of digits."""
  return re.sub(r"(?<=\d)[,_' ](?=\d{2,3})", '', text)
