"""Rewards of text that compare an answer with a reference: 1, 0, or None."""

from fractions import Fraction
import unicodedata

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text.answers import extract, last_number
from adrpo_jax.rewards.text.protocol import TextReward

MAX_DIGITS = 100  # characters; a longer text is not read as a number


def exact_match(*, answer: str = 'whole') -> TextReward:
  """1 where the answer equals the reference after `normalized`, else 0.

  None where there is no reference.

  Args:
    answer: how the answer is found in the text, a name in `answers.EXTRACTS`;
      where it is not found, the reward is 0. The reference is taken whole.
  """
  find = extract(answer)

  def reward(prompt: str, text: str, reference: str | None) -> float | None:
    del prompt
    if reference is None:
      return None
    stated = find(text)
    return float(
      stated is not None and normalized(stated) == normalized(reference)
    )

  return reward


def number_match(
  *, answer: str = 'last_number', tolerance: float = 0.0
) -> TextReward:
  """1 where |a − r| ≤ tolerance · |r| for answer a and reference r; else 0.

  Numbers are compared as fractions, without rounding: 0.50 is 0.5. None
  where there is no reference, or no number in digits in it.

  Args:
    answer: how the answer is found in the text, a name in `answers.EXTRACTS`;
      the last number of it counts, as of the reference.
    tolerance: relative, not negative.
  """
  if not 0 <= tolerance < float('inf'):
    raise InputError(
      f'Expected a tolerance that is finite and not negative, got {tolerance}.'
    )
  find = extract(answer)
  allowed = Fraction(str(tolerance))  # Of its decimal text: 0.1 is 1/10.

  def reward(prompt: str, text: str, reference: str | None) -> float | None:
    del prompt
    right = None if reference is None else number(reference)
    if right is None:
      return None
    stated = number(find(text) or '')
    return float(
      stated is not None and abs(stated - right) <= allowed * abs(right)
    )

  return reward


def normalized(text: str) -> str:
  """Returns a text as `exact_match` compares it.

  Unicode NFKC (full-width letters become usual ones), case folded, white space
  made single and taken off both ends, and one full stop at the end left out.
  Normalizing twice changes nothing, but for further full stops.
  """
  folded = unicodedata.normalize('NFKC', text).casefold()
  folded = unicodedata.normalize('NFKC', folded)
  return ' '.join(folded.split()).removesuffix('.').rstrip()


def number(text: str) -> Fraction | None:
  """The last number that a text writes in digits, or None."""
  digits = last_number(text)
  if digits is None or len(digits) > MAX_DIGITS:
    return None
  return Fraction(digits)
