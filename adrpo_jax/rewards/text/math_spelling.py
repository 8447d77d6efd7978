r"""The answer of a text of mathematics, spelled so that math-verify reads it.

The library takes '\$18.90' and '10\,000' for no number or for another one,
'1 1/2' for 1 and '1e-7' for e − 7.
"""

from decimal import Decimal
from fractions import Fraction
import re

from adrpo_jax.rewards.text.answers import boxed
from adrpo_jax.rewards.text.numbers import Number, whole_number

DIGITS = 6  # significant ones of a decimal that may be rounded

_BOX = re.compile(r'\\(?:boxed|fbox|framebox)\s*\{')
_MARK = r"(?:\{,\}|,\\!|\\!|\\[,;: ]|~|\{ \}|_|['’])"
_GROUPED = re.compile(rf'(?<![\d.])[1-9]\d{{0,2}}(?:{_MARK}\d{{3}})+(?!\d)')
_SPACED = re.compile(
  r'(?<![\d.,/^] )(?<![\d.])[1-9]\d{0,2}(?: \d{3})+(?![\d/])'
)
_POWER = re.compile(r'(?<![\w.])(?:\d+(?:\.\d+)?|\.\d+)[eE][-+]?\d{1,2}(?!\w)')
_MIXED = re.compile(
  r'(?<![\d.,/] )(?<![\d.,/^])(\d+) (\d{1,2})/(\d{1,4})(?![\d/])'
)


def final_answer(text: str) -> str | None:
  r"""The content of the last box; the whole text where there is no box.

  None where the last box is not closed.
  """
  text = _BOX.sub(r'\\boxed{', text)
  return boxed(text) if r'\boxed' in text else text


def plainly_spelled(text: str) -> str:
  """A text without currency, groups of digits and e of powers of ten."""
  text = re.sub(r'\\\$|[€£¥₹]', '', text)
  for grouped in (_GROUPED, _SPACED):
    text = grouped.sub(lambda match: re.sub(r'\D', '', match[0]), text)
  text = _POWER.sub(lambda match: f'{Decimal(match[0]):f}', text)
  return text if '$' in text or '\\' in text else _MIXED.sub(_improper, text)


def number_of(answer: str) -> Number | None:
  """The number that an answer is; a pair such as (1,234) is none."""
  pair = answer.lstrip(' $').startswith(('(', r'\left(', r'\('))
  return None if pair and ',' in answer else whole_number(answer)


def is_rounded(decimal: Number, exact: Number) -> bool:
  """True for 0.333333 and 1/3: six digits or more, all of them right.

  A number that is a decimal itself, such as 1/8, is not rounded.
  """
  written = re.fullmatch(r'-?(\d*)\.(\d+)', decimal.text)
  if not written or len(''.join(written.groups()).lstrip('0')) < DIGITS:
    return False
  below = exact.value.denominator
  for factor in (2, 5):
    while below % factor == 0:
      below //= factor
  unit = Fraction(1, 10 ** len(written[2]))
  return below > 1 and abs(decimal.value - exact.value) <= unit / 2


def _improper(match: re.Match[str]) -> str:
  whole, above, below = map(int, match.groups())
  return (
    rf'$\frac{{{whole * below + above}}}{{{below}}}$'
    if above < below
    else match[0]
  )
