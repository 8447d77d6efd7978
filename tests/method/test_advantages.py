"""Numbers by hand for every advantage, and what invalid samples do to them."""

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.method import advantages

REWARDS = jnp.array([[0.0, 1.0, 2.0, 5.0], [1.0, 1.0, 1.0, 1.0]])
VALID = jnp.array([[True, True, True, False], [True, True, True, True]])
ALL = jnp.ones((2, 4), bool)

FUNCTIONS = [
  advantages.centered_by_group,
  advantages.standardized_by_group,
  advantages.standardized_by_batch,
  advantages.leave_one_out,
  advantages.best_of_group,
  advantages.best_against_worst,
  lambda r, v: advantages.softmax_of_group(r, v, temperature=0.5),
]


def test_centered_by_group():
  got = advantages.centered_by_group(REWARDS, VALID)
  np.testing.assert_allclose(got, [[-1, 0, 1, 0], [0, 0, 0, 0]], atol=1e-7)


def test_standardized_by_group():
  got = advantages.standardized_by_group(REWARDS, VALID, eps=0.0)[0]
  np.testing.assert_allclose(got, [-(1.5**0.5), 0, 1.5**0.5, 0], rtol=1e-6)
  got = advantages.standardized_by_group(REWARDS, VALID, eps=1.0, ddof=1)[0]
  np.testing.assert_allclose(got, [-0.5, 0, 0.5, 0], rtol=1e-6)


def test_standardized_by_group_reaches_its_bound():
  # One success among G = 8 with ddof = 1 is (G − 1) / √G deviations away.
  rewards = jnp.zeros((1, 8)).at[0, 3].set(1.0)
  got = advantages.standardized_by_group(
    rewards, jnp.ones((1, 8), bool), eps=0.0, ddof=1
  )
  np.testing.assert_allclose(got.max(), 7 / 8**0.5, rtol=1e-6)


def test_standardized_by_batch():
  rewards = jnp.array([[0.0, 2.0], [4.0, 6.0]])
  got = advantages.standardized_by_batch(
    rewards, jnp.ones((2, 2), bool), eps=0.0
  )
  # All four: mean 3, variance 5. Centered: ∓1 in both prompts.
  np.testing.assert_allclose(got, [[-(5**-0.5), 5**-0.5]] * 2, rtol=1e-6)


def test_leave_one_out():
  got = advantages.leave_one_out(REWARDS, VALID)
  np.testing.assert_allclose(got, [[-1.5, 0, 1.5, 0], [0] * 4], atol=1e-6)


def test_best_of_group_takes_the_first_of_equals():
  got = advantages.best_of_group(REWARDS, VALID)
  np.testing.assert_array_equal(got, [[0, 0, 1, 0], [1, 0, 0, 0]])


def test_best_against_worst_has_no_preference_in_a_tie():
  got = advantages.best_against_worst(REWARDS, VALID)
  np.testing.assert_array_equal(got, [[-1, 0, 1, 0], [0, 0, 0, 0]])


def test_softmax_of_group():
  got = advantages.softmax_of_group(
    jnp.log(jnp.array([[1.0, 2.0, 5.0, 9.0]])),
    jnp.array([[True, True, True, False]]),
    temperature=1.0,
  )
  np.testing.assert_allclose(got, [[1 / 8, 2 / 8, 5 / 8, 0]], rtol=1e-6)
  cold = advantages.softmax_of_group(1e4 * REWARDS, ALL, temperature=1e-2)
  np.testing.assert_allclose(cold, [[0, 0, 0, 1], [0.25] * 4], atol=1e-6)


@pytest.mark.parametrize('seed', range(3))
def test_advantages_of_a_group_sum_to_zero(seed):
  rng = np.random.default_rng(seed)
  rewards = jnp.asarray(rng.normal(size=(5, 6)))
  valid = jnp.asarray(rng.random((5, 6)) < 0.7)
  for function in FUNCTIONS[:4]:
    got = function(rewards, valid)
    np.testing.assert_allclose(got.sum(axis=1), np.zeros(5), atol=2e-6)


@pytest.mark.parametrize('function', FUNCTIONS)
def test_invalid_samples_count_for_nothing(function):
  clean = function(REWARDS, VALID)
  for garbage in (np.nan, np.inf, -np.inf, 1e30):
    got = function(REWARDS.at[0, 3].set(garbage), VALID)
    np.testing.assert_array_equal(got, clean)
  assert got[0, 3] == 0
  np.testing.assert_array_equal(function(REWARDS, ~ALL), np.zeros((2, 4)))


def test_equal_rewards_give_exactly_zero():
  # The mean of three times 0.1 is not 0.1 in float32.
  rewards, valid = jnp.full((1, 3), 0.1), jnp.ones((1, 3), bool)
  for function in FUNCTIONS[:4]:
    np.testing.assert_array_equal(function(rewards, valid), np.zeros((1, 3)))


def test_equal_groups_and_what_becomes_of_them():
  rewards = jnp.array([[1.0, 1, 1], [0, 1, 2], [0, 1, 2], [0, 1, jnp.nan]])
  valid = jnp.array([[1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]], bool)
  equal = advantages.equal_groups(rewards, valid)
  np.testing.assert_array_equal(equal, [True, True, True, False])
  kept = advantages.keep_equal_groups(rewards, valid)
  np.testing.assert_array_equal(kept, valid)
  dropped = advantages.drop_equal_groups(rewards, valid)
  np.testing.assert_array_equal(dropped.sum(axis=1), [0, 0, 0, 2])
