"""The kinds of values of config keys, and the check of a config against them.

A table is dotted key -> `Values`; a word of a key may be *, for any name. A key
that has no row, such as a parameter of your own reward, takes every value but
a number that is not finite.
"""

from collections.abc import Callable, Iterable, Mapping
import itertools
import re
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from adrpo_jax.errors import InputError, did_you_mean, unknown_name

LARGEST = 2**31 - 1  # of the whole numbers on a device
FLOAT32 = np.finfo(np.float32)


class Values(NamedTuple):
  """The values that a key takes: a test of them, and what they are, in words.

  described and names are functions, for tables of choices may grow.
  reasons: a value that is refused -> why, in a sentence.
  grouped: a group of keys may stand in place of the value.
  """

  includes: Callable[[Any], bool]
  described: Callable[[], str]
  names: Callable[[], list[str]] = list
  reasons: Mapping[str, str] = MappingProxyType({})
  grouped: bool = False


Table = Mapping[str, Values]


def whole(least: int, most: int = LARGEST) -> Values:
  """A whole number from `least` to `most`, which is no bool.

  >>> whole(1).described()
  'a whole number, at least 1'
  """

  def includes(value: Any) -> bool:
    return _is(value, int) and least <= value <= most

  words = (
    f', at least {least}' if most == LARGEST else f' from {least} to {most}'
  )
  return Values(includes, lambda: f'a whole number{words}')


def number(
  *,
  above: float | None = None,
  least: float | None = None,
  below: float | None = None,
  most: float | None = None,
) -> Values:
  """A finite number within bounds, as a device holds it: in float32.

  >>> number(least=0, below=1).described()
  'a number, at least 0 and below 1'
  """
  bounds = {
    'above': (above, lambda value, bound: value > bound),
    'at least': (least, lambda value, bound: value >= bound),
    'below': (below, lambda value, bound: value < bound),
    'at most': (most, lambda value, bound: value <= bound),
  }
  used = {k: pair for k, pair in bounds.items() if pair[0] is not None}

  def includes(value: Any) -> bool:
    if not _is(value, int, float) or not is_finite(value):
      return False
    stored = _on_device(value)
    return all(within(stored, bound) for bound, within in used.values())

  words = ' and '.join(f'{k} {bound:g}' for k, (bound, _) in used.items())
  comma = ',' if words.startswith('at') else ''
  return Values(includes, lambda: f'a number{comma} {words}'.strip())


def only(value: int) -> Values:
  """One number alone, beside others of `either`."""

  def includes(given: Any) -> bool:
    return _is(given, int, float) and given == value

  return Values(includes, lambda: str(value))


def either(*kinds: Values) -> Values:
  """A value of one of these kinds."""
  return Values(
    lambda value: any(kind.includes(value) for kind in kinds),
    lambda: ' or '.join(kind.described() for kind in kinds),
    lambda: [name for kind in kinds for name in kind.names()],
  )


def different(kind: Values) -> Values:
  """A tuple of one value of a kind or more, no two of them equal.

  >>> different(number(least=1)).described()
  'a tuple of different values, each a number, at least 1'
  """

  def includes(value: Any) -> bool:
    return (
      isinstance(value, (tuple, list))
      and len(value) > 0
      and all(map(kind.includes, value))
      and len(set(value)) == len(value)
    )

  return Values(
    includes,
    lambda: f'a tuple of different values, each {kind.described()}',
  )


def choice(
  *tables: Iterable[str], reasons: Mapping[str, str] = MappingProxyType({})
) -> Values:
  """A name of these tables, as they are when a config is checked.

  >>> choice(['on', 'off']).described()
  "'on' or 'off'"
  """

  def names() -> list[str]:
    return list(dict.fromkeys(itertools.chain(*tables)))

  def described() -> str:
    *first, last = map(repr, names())
    return f'{", ".join(first)} or {last}' if first else last

  def includes(value: Any) -> bool:
    return _is(value, str) and value in names()

  return Values(includes, described, names, reasons)


def _is_text(value: Any) -> bool:
  return _is(value, str) and '\0' not in value


def _is_pattern(value: Any) -> bool:
  try:
    return _is_text(value) and bool(re.compile(value))
  except (re.error, OverflowError, RecursionError):
    return False


def _is_span(value: Any) -> bool:
  return _is_text(value) and bool(re.fullmatch(r'(\d{1,9}:\d{1,9})?', value))


def _are_names(value: Any) -> bool:
  return isinstance(value, (tuple, list)) and all(map(_is_text, value))


TEXT = Values(_is_text, lambda: 'text')
PATTERN = Values(_is_pattern, lambda: 'a regular expression')
NAMES = Values(_are_names, lambda: "a tuple of names, ('NAME', ...)")
SPAN = Values(_is_span, lambda: "two steps FIRST:LAST, or '' for none")
FLAG = Values(lambda value: isinstance(value, bool), lambda: 'True or False')


def row_of(key: str, table: Table) -> str | None:
  """Returns the row of a table that a key belongs to: its own, or one with *.

  >>> row_of('reward.weights.mine', {'reward.weights.*': number()})
  'reward.weights.*'
  """
  if key in table:
    return key
  words = key.split('.')
  for pattern in table:
    parts = pattern.split('.')
    if len(parts) == len(words) and all(
      part in ('*', word) for part, word in zip(parts, words, strict=True)
    ):
      return pattern
  return None


def check_values(
  config: Mapping[str, Any], table: Table, free: Callable[[str], bool]
) -> None:
  """Checks the values of a config, flattened to dotted keys, by a table.

  Args:
    config: dotted key -> value.
    table: of its keys.
    free: (key) -> whether a key without a row may be there.

  Raises:
    InputError: an unknown key, or a value that its key does not take.
  """
  for key, value in config.items():
    row = row_of(key, table)
    if row:
      _check(key, value, table[row])
    elif value != {}:  # {}: a group without keys.
      _check_without_row(key, value, table, free)


def _check_without_row(
  key: str, value: Any, table: Table, free: Callable[[str], bool]
) -> None:
  above, _, last = key.rpartition('.')
  row = _above(key, table)
  if row and not table[row].grouped:
    raise InputError(
      f'Expected config.{above} to be {table[row].described()}, got a group '
      f'with the key {last!r}.'
    )
  if not free(key):
    raise unknown_name(key, table, 'config key')
  _check(key, value, FINITE)


def _check(key: str, value: Any, kind: Values) -> None:
  if not kind.includes(value):
    raise InputError(
      f'Expected config.{key} to be {kind.described()}, got {value!r}.'
      f'{_hint(value, kind)}'
    )


def _above(key: str, table: Table) -> str | None:
  """Returns the row of a key that should have no other below it."""
  while '.' in key:
    key = key.rpartition('.')[0]
    if row := row_of(key, table):
      return row
  return None


def _hint(value: Any, kind: Values) -> str:
  if _is(value, int) and value > LARGEST:
    return f' It is larger than {LARGEST}, the largest on a device.'
  if _is(value, float) and is_finite(value) and value and not _on_device(value):
    return ' On a device it is 0.'
  if not _is(value, str):
    return ''
  if value in kind.reasons:
    return f' {kind.reasons[value]}'
  return did_you_mean(value, kind.names())


def is_finite(value: float) -> bool:
  """Returns whether a number is finite as a float32."""
  return -float(FLOAT32.max) <= value <= float(FLOAT32.max)


FINITE = Values(
  lambda value: not isinstance(value, float) or is_finite(value),
  lambda: 'a finite number',
)


def _is(value: Any, *kinds: type) -> bool:
  return isinstance(value, kinds) and not isinstance(value, bool)


def _on_device(value: float) -> float:
  """A number in float32, where the smallest are flushed to 0."""
  stored = float(np.float32(value))
  return stored if abs(stored) >= FLOAT32.tiny else 0.0
