"""The child process of `math_answers`; imports nothing of this package."""

from collections.abc import Callable

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
    return float(math_verify.verify(right, stated, timeout_seconds=None))

  if match(r'\frac{1}{2}', 'It is 0.5.') != 1.0:
    raise RuntimeError('it does not find 1/2 equal to 0.5')
  return match
