"""Rewards of text that compare an answer with a reference: 1, 0, or none."""

from fractions import Fraction
import unicodedata

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text.answers import extract, last_number
from adrpo_jax.rewards.text.protocol import TextReward

LONGEST_NUMBER = 100  # characters; what is longer is no number


def exact_match(*, answer: str = 'whole') -> TextReward:
  """1 where the answer is the reference, both as `normalized`; else 0.

  No number where no reference is known.

  Args:
    answer: where in the text it stands, a name of `text_answers.EXTRACTS`;
      where it is not there, the reward is 0. The reference is taken whole.
  """
  place = extract(answer)

  def reward(prompt: str, text: str, known: str | None) -> float | None:
    del prompt
    if known is None:
      return None
    given = place(text)
    return float(given is not None and normalized(given) == normalized(known))

  return reward


def number_match(
  *, answer: str = 'last_number', tolerance: float = 0.0
) -> TextReward:
  """1 where |a − r| ≤ tolerance · |r| for answer a and reference r; else 0.

  Numbers are compared as fractions, without rounding: 0.50 is 0.5. No number
  where the reference is not known or has none in digits.

  Args:
    answer: where in the text it stands, a name of `text_answers.EXTRACTS`; of
      that, and of the reference, the last number counts.
    tolerance: relative, not negative.
  """
  if not 0 <= tolerance < float('inf'):
    raise InputError(
      f'Expected a tolerance that is finite and not negative, got {tolerance}.'
    )
  place = extract(answer)
  allowed = Fraction(str(tolerance))  # As it is written: 0.1 is 1/10.

  def reward(prompt: str, text: str, known: str | None) -> float | None:
    del prompt
    right = None if known is None else number(known)
    if right is None:
      return None
    given = number(place(text) or '')
    return float(
      given is not None and abs(given - right) <= allowed * abs(right)
    )

  return reward


def normalized(text: str) -> str:
  """A text as `exact_match` compares it.

  Unicode NFKC (full-width letters become usual ones), case folded, white space
  made single and taken off both ends, and one full stop at the end left out.
  Normalizing twice changes nothing, but for further full stops.
  """
  folded = unicodedata.normalize('NFKC', text).casefold()
  folded = unicodedata.normalize('NFKC', folded)
  return ' '.join(folded.split()).removesuffix('.').rstrip()


def number(text: str) -> Fraction | None:
  """The last number that a text writes in digits, or None."""
  found = last_number(text)
  if found is None or len(found) > LONGEST_NUMBER:
    return None
  return Fraction(found)
