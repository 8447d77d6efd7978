"""Checks of the group size."""

import pytest

import adrpo_jax


def test_group_baselines_need_two_samples():
  for name in adrpo_jax.METHODS:
    needs = adrpo_jax.make_method(name).needs
    if name == 'orw_cfm_w2':
      adrpo_jax.check_group_size(needs, 1)
      continue
    adrpo_jax.check_group_size(needs, 2)
    with pytest.raises(ValueError, match='got 1'):
      adrpo_jax.check_group_size(needs, 1)


def test_pairs_are_two():
  with pytest.raises(ValueError, match=r'one winner and one loser.*got 4'):
    adrpo_jax.check_group_size(adrpo_jax.make_method('dpo').needs, 4)
