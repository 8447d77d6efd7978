"""Normalizers of rewards, by hand, and what is fixed about each of them."""

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.normalizers import NORMALIZERS, comparable

REWARDS = jnp.array([[1.0, 3.0, 900.0], [5.0, 7.0, 9.0]])
VALID = jnp.array([[True, True, False], [True, True, True]])
# Of 1, 3, 5, 7, 9: mean 5, squares 16 + 4 + 0 + 4 + 16 = 40, over 5.
STD = np.sqrt(8.0)
BY_HAND = {
  'raw': ({}, [[1, 3], [5, 7, 9]]),
  'fixed': ({'offset': 1.0, 'scale': 4.0}, [[0, 0.5], [1, 1.5, 2]]),
  'standard': (
    {'eps': 0.0},
    [[-4 / STD, -2 / STD], [0, 2 / STD, 4 / STD]],
  ),
  # Of 1, 3: mean 2, std 1. Of 5, 7, 9: mean 7, std √(8/3).
  'group': ({'eps': 0.0}, [[-1, 1], [-np.sqrt(1.5), 0, np.sqrt(1.5)]]),
}


@pytest.mark.parametrize('name', NORMALIZERS)
def test_by_hand(name):
  parameters, expected = BY_HAND[name]
  found = NORMALIZERS[name](**parameters)(REWARDS, VALID)
  assert found.shape == REWARDS.shape
  np.testing.assert_allclose(found[0, :2], expected[0], rtol=1e-6, atol=1e-6)
  np.testing.assert_allclose(found[1], expected[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('name', NORMALIZERS)
def test_an_invalid_number_reaches_no_other(name):
  normalize = NORMALIZERS[name]()
  for number in (0.0, jnp.nan, jnp.inf):
    found = normalize(REWARDS.at[0, 2].set(number), VALID)
    np.testing.assert_array_equal(
      found[VALID], normalize(REWARDS, VALID)[VALID]
    )


@pytest.mark.parametrize(('name', 'far'), [('standard', 1e-4), ('group', 1e-4)])
def test_offset_and_scale_of_a_reward_do_not_matter(name, far):
  """To ε = 1e-4 over the spread, and rounding of the larger numbers."""
  normalize = NORMALIZERS[name]()
  np.testing.assert_allclose(
    normalize(20.0 + 8.0 * REWARDS, VALID)[VALID],
    normalize(REWARDS, VALID)[VALID],
    atol=2 * far,
  )


@pytest.mark.parametrize('name', NORMALIZERS)
def test_equal_rewards_stay_equal_and_none_at_all_is_no_nan(name):
  normalize = NORMALIZERS[name]()
  equal = normalize(jnp.full((2, 3), 0.1), VALID)
  assert np.ptp(equal[VALID]) == 0
  if name in ('standard', 'group'):
    np.testing.assert_allclose(equal[VALID], 0.0, atol=1e-3)
  assert np.isfinite(normalize(REWARDS, jnp.zeros_like(VALID))).all()


@pytest.mark.parametrize('scale', [0.0, -1.0, float('nan')])
def test_a_scale_is_above_0(scale):
  with pytest.raises(InputError, match=r'above 0.*negative weight'):
    NORMALIZERS['fixed'](scale=scale)


def test_evaluations_keep_what_two_of_them_share():
  fixed = {'name': 'fixed', 'scale': 26.0}
  given = {'a': 'standard', 'b': fixed, 'c': {'name': 'group', 'eps': 1e-6}}
  assert comparable(given | {'d': 'raw'}) == {'b': fixed, 'd': 'raw'}
