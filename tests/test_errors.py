"""The errors that a user reads."""

import pytest

from adrpo_jax.errors import InputError, unknown_name


def test_unknown_name_gives_the_nearest_and_the_list():
  error = unknown_name('shaeps', {'shapes': 1, 'jpeg': 2}, 'reward')
  assert isinstance(error, InputError)
  assert str(error) == (
    "Unknown reward 'shaeps'. Did you mean 'shapes'? Known: jpeg, shapes."
  )


def test_unknown_name_does_not_guess_wildly():
  assert str(unknown_name('qqq', ['shapes'], 'reward')) == (
    "Unknown reward 'qqq'. Known: shapes."
  )


def test_an_input_error_is_a_value_error():
  with pytest.raises(ValueError, match='Unknown'):
    raise unknown_name('a', ['b'], 'thing')
