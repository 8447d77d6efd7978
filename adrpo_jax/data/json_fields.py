"""JSON objects of a file, and the text that a field of one stands for."""

from collections.abc import Iterator
import json
import re
from typing import Any

from adrpo_jax.data.text_lines import filled_lines, read_lines
from adrpo_jax.errors import InputError


class Number(str):
  """A number as the file spells it: 0.00001 stays '0.00001'."""


_DECODER = json.JSONDecoder(
  parse_int=Number,
  parse_float=Number,
  parse_constant=lambda name: None if name == 'NaN' else Number(name),
)
_FILLED = re.compile(r'[^ \t\r\n]|\Z')  # what is not blank, or the end


def objects(path: str, expected: str) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields (line, fields) of each object; numbers are `Number`s, NaN is None.

  Raises:
    InputError: a line that is no JSON, or no object; says what is `expected`.
  """
  for number, line in filled_lines(path):
    where = f'{path}, line {number}: {expected}'
    fields, end = _value(line, _next(line, 0), where)
    if line[end:].strip():
      column = _next(line, end) + 1
      raise InputError(
        f'{where}, got malformed JSON (Extra data at column {column}).'
      )
    yield number, _object(fields, line, where)


def array_objects(
  path: str, expected: str
) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields (line, fields) of the objects of a JSON array, as `objects` does.

  A file that begins with an object has one a line, whatever its name.

  Raises:
    InputError: the file is no array of objects; says what is `expected`.
  """
  text = '\n'.join(read_lines(path))
  at, number, seen = _next(text, 0), 1, 0
  if text[at : at + 1] != '[':
    yield from objects(path, expected)
    return
  at = _next(text, at + 1)
  if closed := text[at : at + 1] == ']':
    at = _next(text, at + 1)
  while not closed:
    number, seen = number + text.count('\n', seen, at), at
    where = f'{path}, line {number}: {expected}'
    fields, end = _value(text, at, where)
    yield number, _object(fields, text[at:end], where)
    at = _next(text, end)
    mark = text[at : at + 1]
    if mark not in (',', ']'):
      got = repr(mark) if mark else 'the end of the file'
      raise InputError(
        f'{where}, and behind it a comma or the end of the array, got {got}.'
      )
    closed, at = mark == ']', _next(text, at + 1)
  if at < len(text):
    raise InputError(
      f'{path}: expected one JSON array, got {text[at : at + 60]!r} behind it.'
    )


def _next(text: str, at: int) -> int:
  """Returns the index of the first character from `at` on that is no space."""
  found = _FILLED.search(text, at)
  return found.start() if found else len(text)


def _value(text: str, at: int, where: str) -> tuple[Any, int]:
  """Returns (value, end) of the JSON value that begins at an index."""
  try:
    return _DECODER.raw_decode(text, at)
  except json.JSONDecodeError as error:
    raise InputError(
      f'{where}, got malformed JSON ({error.msg} at column {error.colno}).'
    ) from error
  except RecursionError as error:
    raise InputError(f'{where}, got JSON that is nested too deep.') from error


def _object(fields: Any, text: str, where: str) -> dict[str, Any]:
  if not isinstance(fields, dict):
    raise InputError(f'{where}, got {text.strip()[:60]!r}.')
  return fields


def field_text(value: Any) -> str | None:
  """Returns the text of a field, None where it has none.

  A number is text in the spelling of the file, a list of one is its element,
  null and an empty list are none.

  Raises:
    ValueError: a longer list, or an object.
  """
  if isinstance(value, list) and len(value) < 2:
    return field_text(value[0]) if value else None
  if isinstance(value, bool):
    return json.dumps(value)
  if value is None or isinstance(value, str):
    return value
  kind = 'an object' if isinstance(value, dict) else f'a list of {len(value)}'
  raise ValueError(f'got {kind}, {json.dumps(value)[:60]}')
