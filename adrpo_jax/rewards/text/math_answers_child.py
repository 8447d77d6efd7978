"""The child process of `math_answers`; imports nothing of this package."""

from collections.abc import Callable
from typing import Any

# The library rounds to six decimals, and finds all smaller numbers equal.
RELATIVE = 1e-5
DELIMITED = ('$', r'\boxed', r'\(', r'\[')


def loaded() -> Callable[[str, str], float | None]:
  """Returns the judge (reference, answer) -> 1, 0, or None without a formula.

  Raises:
    ImportError: there is no math-verify.
    RuntimeError: it does not find equal formulas equal.
  """
  import math_verify

  def match(reference: str, text: str) -> float | None:
    bare = not any(mark in reference for mark in DELIMITED)
    right = math_verify.parse(
      rf'\boxed{{{reference}}}' if bare else reference, parsing_timeout=None
    )
    if not right:
      return None
    stated = math_verify.parse(text, parsing_timeout=None)
    if not stated or not math_verify.verify(
      right, stated, timeout_seconds=None
    ):
      return 0.0
    return float(_close(right[0], stated[0]))

  if match(r'\frac{1}{2}', 'It is 0.5.') != 1.0:
    raise RuntimeError('it does not find 1/2 equal to 0.5')
  return match


def _close(right: Any, stated: Any) -> bool:
  """False where numbers of two equal answers differ by more than rounding."""
  numbers = _numbers(right), _numbers(stated)
  if len(numbers[0]) != len(numbers[1]):
    return True  # Not numbers alone: the library has compared them.
  # The library takes 50 and 50% for equal.
  return all(
    any(_near(a * scale, b) for scale in (1, 100, 0.01))
    for a, b in zip(*numbers, strict=True)
  )


def _near(a: Any, b: Any) -> bool:
  return bool(abs(a - b) <= RELATIVE * abs(b))


def _numbers(answer: Any) -> list[Any]:
  """The real numbers that an answer consists of, in order; [] for others."""
  import sympy

  answer = getattr(answer, 'rhs', answer)
  if not isinstance(answer, sympy.Basic):
    return []
  parts = [answer] if getattr(answer, 'is_number', False) else answer.args
  values = [
    sympy.N(part, 30) for part in parts if getattr(part, 'is_number', False)
  ]
  return sorted(v for v in values if v.is_extended_real and v.is_finite)
