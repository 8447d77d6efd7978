"""Names of leaves."""

import optax
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.tree_names import check_same, leaf_names


def test_names_follow_dicts_sequences_and_fields():
  tree = {'b': [1, None, (2,)], 'a': optax.ScaleByAdamState(3, {'w': 4}, {})}
  assert leaf_names(tree) == {
    'a/count': 3,
    'a/mu/w': 4,
    'b/0': 1,
    'b/2/0': 2,
  }


def test_two_leaves_of_one_name_are_refused():
  with pytest.raises(InputError, match=r"\['a/b'\]"):
    leaf_names({'a/b': 1, 'a': {'b': 2}})


def test_a_long_list_is_cut():
  expected = {f'w{i}': 'float [1]' for i in range(20)}
  with pytest.raises(InputError, match=r'\.\.\. and 12 more'):
    check_same(expected, {}, 'The file x')
  check_same(expected, dict(expected), 'The file x')
