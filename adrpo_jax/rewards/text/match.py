"""Rewards of text that compare an answer with a reference: 1, 0, or None."""

from fractions import Fraction
import unicodedata

from adrpo_jax.data.reasoning_prompts import entry_of
from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text.answers import extract
from adrpo_jax.rewards.text.numbers import equal, last_number
from adrpo_jax.rewards.text.protocol import TextReward


def has_answer(reference: str | None) -> bool:
  """True for a reference with a right answer, not the entry of a library."""
  return bool(reference and normalized(reference)) and not entry_of(
    reference or ''
  )


def has_number(reference: str | None) -> bool:
  """True for a reference whose last number can be read."""
  return has_answer(reference) and last_number(reference or '') is not None


def exact_match(*, answer: str = 'whole') -> TextReward:
  """1 where the answer equals the reference after `normalized`, else 0.

  None where there is no reference, or an empty one.

  Args:
    answer: how the answer is found in the text, a name in `answers.EXTRACTS`;
      where it is not found, the reward is 0. The reference is taken whole.
  """
  find = extract(answer)

  def reward(prompt: str, text: str, reference: str | None) -> float | None:
    del prompt
    if reference is None or not has_answer(reference):
      return None
    stated = find(text)
    return float(
      stated is not None and normalized(stated) == normalized(reference)
    )

  return reward


def number_match(
  *, answer: str = 'last_number', tolerance: float = 0.0
) -> TextReward:
  r"""1 where |a − r| ≤ tolerance · |r| for answer a and reference r; else 0.

  Numbers are compared as fractions, without rounding: 0.50 is 0.5 and 1/2, and
  1\,000 is 10^3. A number that is a part of an expression, as in 2x or 3 + 4,
  is none; see `numbers`. None where the reference has no number.

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
    right = last_number(reference) if reference else None
    if right is None or not has_answer(reference):
      return None
    stated = last_number(find(text) or '')
    return float(stated is not None and equal(stated, right, allowed))

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
