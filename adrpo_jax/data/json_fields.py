"""JSON objects, one a line, and the text that a field of one stands for."""

from collections.abc import Iterator
import json
from typing import Any

from adrpo_jax.data.text_lines import filled_lines
from adrpo_jax.errors import InputError


class Number(str):
  """A number as the file spells it: 0.00001 stays '0.00001'."""


def objects(path: str, expected: str) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields (line, fields) of each object; numbers are `Number`s, NaN is None.

  Raises:
    InputError: a line that is no JSON, or no object; says what is `expected`.
  """
  for number, line in filled_lines(path):
    where = f'{path}, line {number}: {expected}'
    try:
      fields = json.loads(
        line,
        parse_int=Number,
        parse_float=Number,
        parse_constant=lambda name: None if name == 'NaN' else Number(name),
      )
    except json.JSONDecodeError as error:
      raise InputError(
        f'{where}, got malformed JSON ({error.msg} at column {error.colno}).'
      ) from error
    except RecursionError as error:
      raise InputError(f'{where}, got JSON that is nested too deep.') from error
    if not isinstance(fields, dict):
      raise InputError(f'{where}, got {line.strip()[:60]!r}.')
    yield number, fields


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
