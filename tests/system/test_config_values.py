"""The kinds of values of config keys, by hand."""

import math

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.system.config_values import (
  FINITE,
  FLAG,
  NAMES,
  PATTERN,
  TEXT,
  check_values,
  choice,
  either,
  number,
  only,
  row_of,
  whole,
)

HUGE = [1e39, -1e39, 10**400, math.inf, -math.inf, math.nan]
STRANGE = [None, True, 'one', (), [], {}, b'1', 1j]


@pytest.mark.parametrize(
  ('kind', 'right', 'wrong'),
  [
    (whole(1), [1, 2**31 - 1], [0, -1, 1.0, 2**31, 2**64, *HUGE, *STRANGE]),
    (whole(0, 95), [0, 95], [-1, 96, *HUGE, *STRANGE]),
    (number(), [0, -1.5, 3e38], [*HUGE, *STRANGE]),
    # 1e-46 and 1e-39 are 0 on a device.
    (number(above=0), [1e-37, 1], [0, 0.0, -1.0, 1e-46, 1e-39, *HUGE]),
    # 1 − 1e-9 is 1 in float32.
    (number(least=0, below=1), [0, 0.999], [1, 1 - 1e-9, -1e-9, *STRANGE]),
    (number(least=0, most=1), [0, 1, 0.5], [1.001, -0.001, *HUGE]),
    (either(only(-1), whole(1)), [-1, 1], [0, -2, *HUGE, *STRANGE]),
    (choice(['on'], {'off': 0}), ['on', 'off'], ['', 'On', 0, None, ['on']]),
    (FLAG, [True, False], [0, 1, 'True', None]),
    (TEXT, ['', 'a'], ['a\0', None, 1, b'a', ('a',)]),
    (PATTERN, ['', 'a|b'], ['(', '*', 'a{99999999999}', None, 1, '(' * 9999]),
    (NAMES, [(), [], ('a',), ['a', 'b']], ['a', None, (1,), (None,), {'a': 1}]),
    (FINITE, [0, 10**40, 'a', None, ()], [math.nan, math.inf, 1e39]),
  ],
)
def test_a_kind_includes(kind, right, wrong):
  assert [value for value in right if not kind.includes(value)] == []
  assert [value for value in wrong if kind.includes(value)] == []


@pytest.mark.parametrize(
  ('kind', 'words'),
  [
    (whole(0), 'a whole number, at least 0'),
    (whole(1, 95), 'a whole number from 1 to 95'),
    (number(), 'a number'),
    (number(above=0), 'a number above 0'),
    (number(above=0, most=1), 'a number above 0 and at most 1'),
    (number(least=0, below=1), 'a number, at least 0 and below 1'),
    (either(only(0), whole(2)), '0 or a whole number, at least 2'),
    (choice(['a']), "'a'"),
    (choice([''], ['a'], ['b', 'a']), "'', 'a' or 'b'"),
  ],
)
def test_a_kind_is_described(kind, words):
  assert kind.described() == words


def test_a_choice_is_of_the_table_as_it_is_now():
  table = {'sort': 1}
  kind = choice(table)
  assert not kind.includes('mine')
  table['mine'] = 2
  assert kind.includes('mine')
  assert kind.described() == "'sort' or 'mine'"


def test_a_row_is_the_keys_own_or_one_with_any_name():
  table = {'a.*.c': FLAG, 'a.b.c': TEXT, '*.x': FLAG}
  assert row_of('a.b.c', table) == 'a.b.c'
  assert row_of('a.other.c', table) == 'a.*.c'
  assert row_of('q.x', table) == '*.x'
  assert row_of('a.b', table) is None
  assert row_of('a.b.c.d', table) is None


@pytest.mark.parametrize(
  ('value', 'said'),
  [
    (
      'std',
      ["config.scale to be 'raw' or 'standard', got 'std'", 'Did you me'],
    ),
    ('half', ["got 'half'. It is half of it."]),
    (3, ['got 3.']),
  ],
)
def test_a_refusal_says_what_was_expected_and_what_came(value, said):
  table = {
    'scale': choice(['raw', 'standard'], reasons={'half': 'It is half of it.'})
  }
  with pytest.raises(InputError) as error:
    check_values({'scale': value}, table, lambda key: True)
  assert all(words in str(error.value) for words in said)


@pytest.mark.parametrize(
  ('value', 'kind', 'said'),
  [
    (
      2**31,
      whole(0),
      'got 2147483648. It is larger than 2147483647, the largest on a device.',
    ),
    (1e-60, number(above=0), 'above 0, got 1e-60. On a device it is 0.'),
    (-0.0, number(above=0), 'above 0, got -0.0.'),
    (math.nan, number(above=0), 'above 0, got nan.'),
  ],
)
def test_a_number_that_a_device_cannot_hold_says_why(value, kind, said):
  with pytest.raises(InputError) as error:
    check_values({'a': value}, {'a': kind}, lambda key: True)
  assert str(error.value).endswith(said)


def test_a_key_without_a_row():
  table = {'steps': whole(1)}
  check_values({'own.anything': object()}, table, lambda key: True)
  with pytest.raises(InputError, match=r'config\.own to be a finite number'):
    check_values({'own': math.nan}, table, lambda key: True)
  with pytest.raises(InputError, match=r"'stepz'\. Did you mean 'steps'"):
    check_values({'stepz': 3}, table, lambda key: False)
