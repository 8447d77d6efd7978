"""What `text_math` asks in a process of its own; it imports no package."""

from collections.abc import Callable

DELIMITED = ('$', r'\boxed', r'\(', r'\[')


def loaded() -> Callable[[str, str], float | None]:
  """The judgment, (reference, answer) -> 1, 0, or None where it has none.

  Raises:
    ImportError: there is no math-verify.
    RuntimeError: it does not find what is equal.
  """
  import math_verify

  def match(known: str, text: str) -> float | None:
    bare = not any(mark in known for mark in DELIMITED)
    right = math_verify.parse(
      rf'\boxed{{{known}}}' if bare else known, parsing_timeout=None
    )
    if not right:
      return None
    given = math_verify.parse(text, parsing_timeout=None)
    return float(math_verify.verify(right, given, timeout_seconds=None))

  if match(r'\frac{1}{2}', 'It is 0.5.') != 1.0:
    raise RuntimeError('it does not find 1/2 equal to 0.5')
  return match
