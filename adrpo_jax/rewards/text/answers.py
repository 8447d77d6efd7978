r"""Where in a text the answer stands: pure functions, text -> answer or None.

whole        the text itself
boxed        in its last \boxed{...}
tagged       between its last <answer> and </answer>
last_number  the last number that it writes in digits
"""

from collections.abc import Callable
import re

from adrpo_jax.errors import unknown_name
from adrpo_jax.rewards.text import numbers

Extract = Callable[[str], str | None]


def whole(text: str) -> str | None:
  """The text, without white space around it."""
  return text.strip()


def boxed(text: str) -> str | None:
  r"""The content of the last \boxed{...}, with balanced braces inside it.

  'so \boxed{\frac{1}{2}}.' -> '\frac{1}{2}'. A brace behind a backslash is a
  character, not a bracket. None where there is no box, or the last is not
  closed.
  """
  _, opened, rest = text.rpartition(r'\boxed{')
  depth = 1 if opened else 0
  for mark in re.finditer(r'\\.|[{}]', rest, re.DOTALL):
    depth += {'{': 1, '}': -1}.get(mark[0], 0)
    if depth == 0:
      return rest[: mark.start()].strip() if opened else None
  return None


def tagged(text: str) -> str | None:
  """The text between the last <answer> and the </answer> behind it.

  None where there is no such pair.
  """
  before, closed, _ = text.rpartition('</answer>')
  _, opened, inside = before.rpartition('<answer>')
  return inside.strip() if opened and closed else None


def last_number(text: str) -> str | None:
  r"""The last number in digits: 'it is -1,234.50.' -> '-1234.50'.

  See `numbers`: \frac{3}{4} is '3/4'. None where there is none, or where it is
  a part of an expression.
  """
  found = numbers.last_number(text)
  return found.text if found else None


EXTRACTS: dict[str, Extract] = {
  'whole': whole,
  'boxed': boxed,
  'tagged': tagged,
  'last_number': last_number,
}


def extract(name: str) -> Extract:
  """The function of that name. Raises InputError for an unknown name."""
  if name not in EXTRACTS:
    raise unknown_name(name, EXTRACTS, 'place of an answer')
  return EXTRACTS[name]
