"""Constraints of a prompt: read from JSON objects, and checked on an answer.

  {"prompt": "…", "constraints": [{"kind": "words", "at_most": 20}]}

The reference of such a prompt is the same list as a JSON text.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import json
from typing import Any, NamedTuple

from adrpo_jax.errors import unknown_name
from adrpo_jax.worlds.instructions import units
from adrpo_jax.worlds.instructions.conflicts import check_together
from adrpo_jax.worlds.instructions.kinds import BOUNDS, KINDS

KEY = 'constraints'
MOST = 1000  # of a count


class Constraint(NamedTuple):
  """A kind of `KINDS` with its fields."""

  kind: str
  fields: Mapping[str, Any]

  def met(self, answer: str) -> bool:
    """Returns True where an answer meets it; every string is judged."""
    read = units.plain(answer)
    return units.has_word(read) and KINDS[self.kind].check(read, **self.fields)


def constraints(listed: Any) -> tuple[Constraint, ...]:
  """Reads a list of JSON objects.

  Raises:
    ValueError: no list of objects, an unknown kind, fields that are missing,
      unknown or of another type, or constraints that no answer meets together.
  """
  if not isinstance(listed, list | tuple) or not listed:
    raise ValueError(
      'expected constraints as a list of objects such as '
      f'[{{"kind": "words", "at_most": 20}}], got {_shown(listed)}.'
    )
  read = tuple(map(_constraint, listed))
  check_together([(one.kind, one.fields) for one in read])
  return read


def reference(of: Sequence[Constraint]) -> str:
  """Returns the reference of a prompt with these constraints, a JSON text."""
  return json.dumps(
    {KEY: [{'kind': one.kind, **one.fields} for one in of]}, ensure_ascii=False
  )


@functools.lru_cache(maxsize=65536)
def of_reference(text: str | None) -> tuple[Constraint, ...]:
  """Returns the constraints of a reference; () for any other text or None."""
  if not text or not text.startswith(f'{{"{KEY}":'):
    return ()
  try:
    return constraints(json.loads(text)[KEY])
  except (ValueError, RecursionError):
    return ()


def _constraint(given: Any) -> Constraint:
  if not isinstance(given, Mapping) or not isinstance(given.get('kind'), str):
    raise ValueError(
      'expected a constraint as an object with a kind, such as '
      f'{{"kind": "no_comma"}}, got {_shown(given)}.'
    )
  name = str(given['kind'])
  if name not in KINDS:
    raise unknown_name(name, KINDS, 'kind of constraint')
  types = KINDS[name].fields
  fields = {key: value for key, value in given.items() if key != 'kind'}
  for key in fields:
    if key not in types:
      raise unknown_name(key, types, f'field of the constraint {name!r}')
  read = {key: _READ[types[key]](name, key, v) for key, v in fields.items()}
  if 'exactly' in types:
    _check_bounds(name, read)
  elif missing := [key for key in types if key not in read]:
    raise ValueError(
      f'expected the field {missing[0]!r} of the constraint {name!r}, '
      f'{KINDS[name].meaning}, got {_shown(given)}.'
    )
  return Constraint(name, read)


def _check_bounds(name: str, bounds: Mapping[str, int]) -> None:
  alone = 'exactly' in bounds and len(bounds) > 1
  low, high = bounds.get('at_least', 1), bounds.get('at_most', MOST)
  if not bounds or alone or low > high:
    raise ValueError(
      f'expected of the constraint {name!r} a range {", ".join(BOUNDS[:2])} or '
      f'both, in order, or {BOUNDS[2]} alone, got {_shown(bounds)}.'
    )


def _count(name: str, key: str, value: Any) -> int:
  """A whole number; the readers of files give it as the text of the file."""
  text = str(value)
  number = int(text) if text.isascii() and text.isdigit() else 0
  if isinstance(value, bool) or not 1 <= number <= MOST:
    raise ValueError(
      f'expected {key} of the constraint {name!r} as a whole number from 1 to '
      f'{MOST}, got {_shown(value)}.'
    )
  return number


def _text(name: str, key: str, value: Any) -> str:
  if not isinstance(value, str) or not value.strip():
    raise ValueError(
      f'expected {key} of the constraint {name!r} as a text that is not blank, '
      f'got {_shown(value)}.'
    )
  return str(value).strip()


def _texts(name: str, key: str, value: Any) -> list[str]:
  if not isinstance(value, list | tuple) or not value:
    raise ValueError(
      f'expected {key} of the constraint {name!r} as a list of texts, got '
      f'{_shown(value)}.'
    )
  texts = [_text(name, key, one) for one in value]
  if len(set(texts)) < len(texts):
    raise ValueError(
      f'expected {key} of the constraint {name!r} to be unlike, got '
      f'{_shown(value)}.'
    )
  return texts


_READ: dict[str, Callable[[str, str, Any], Any]] = {
  'count': _count,
  'text': _text,
  'texts': _texts,
}


def _shown(value: Any) -> str:
  return json.dumps(value, ensure_ascii=False)[:80]
