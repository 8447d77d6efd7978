"""Weighted sums: terms, validity, normalization over a step, hold-outs."""

import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.normalizers import NORMALIZERS
from adrpo_jax.rewards.overlap import Stages, with_stages
from adrpo_jax.rewards.weighted_sum import measure_masks, weighted_sum
from adrpo_jax.types import Scores

NOTHING = {}, jnp.zeros((1, 3, 2, 2, 3))  # prompts and images not looked at


def constant(rewards, valid=None, **measures):
  """A reward that says the same, whatever it sees."""
  rewards = jnp.array(rewards)
  valid = jnp.ones(rewards.shape, bool) if valid is None else jnp.array(valid)
  measures = {k: jnp.array(v) for k, v in measures.items()}
  return lambda prompts, images: Scores(rewards, valid, measures)


def test_by_hand():
  reward = weighted_sum(
    {
      'b': constant([[1.0, 2.0, 3.0]], success=[[1.0, 0.0, 1.0]]),
      'a': constant([[10.0, 20.0, 30.0]], success=[[0.0, 0.0, 1.0]]),
    },
    {'b': 2.0, 'a': -0.1},
  )
  scores = reward(*NOTHING)
  np.testing.assert_allclose(scores.rewards, [[1.0, 2.0, 3.0]], atol=1e-6)
  assert set(scores.measures) == {
    *('success', 'a/success', 'b/success'),
    *('a/reward', 'a/valid', 'b/reward', 'b/valid'),
  }
  np.testing.assert_array_equal(scores.measures['success'], [[1, 0, 1]])
  np.testing.assert_array_equal(scores.measures['a/reward'], [[10, 20, 30]])


def test_a_sum_is_valid_only_where_every_weighted_term_is():
  reward = weighted_sum(
    {
      'a': constant([[1.0, 2.0, 3.0]], valid=[[True, False, True]]),
      'b': constant([[1.0, 1.0, 1.0]], valid=[[True, True, False]]),
      'c': constant([[0.0, 0.0, 0.0]], valid=[[False, False, False]]),
    },
    {'a': 1.0, 'b': 1.0, 'c': 0.0},  # c is looked at, but not trained on
  )
  scores = reward(*NOTHING)
  np.testing.assert_array_equal(scores.valid, [[True, False, False]])
  np.testing.assert_array_equal(scores.rewards, [[2.0, 0.0, 0.0]])
  np.testing.assert_array_equal(scores.measures['a/valid'], [[1, 0, 1]])
  np.testing.assert_array_equal(scores.measures['c/valid'], [[0, 0, 0]])


def test_one_reward_of_weight_one_is_itself():
  reward = constant([[1.0]])
  assert weighted_sum({'a': reward}, {'a': 1.0}) is reward


def test_terms_are_normalized_before_they_are_weighted():
  """a standard: −1, 1 over its std of 2; b in units of 100; c as it is."""
  reward = weighted_sum(
    {
      'a': constant([[1.0, 5.0]]),
      'b': constant([[150.0, 50.0]]),
      'c': constant([[0.25, 0.5]]),
    },
    {'a': 1.0, 'b': 2.0, 'c': 4.0},
    normalizers={
      'a': NORMALIZERS['standard'](eps=0.0),
      'b': NORMALIZERS['fixed'](offset=50.0, scale=100.0),
    },
  )
  scores = reward(*NOTHING)
  np.testing.assert_allclose(scores.rewards, [[-1 + 2 + 1, 1 + 0 + 2]])
  np.testing.assert_array_equal(scores.measures['a/reward'], [[1, 5]])
  np.testing.assert_array_equal(scores.measures['b/reward'], [[150, 50]])


def test_statistics_are_of_the_samples_that_are_trained_on():
  """Without the third sample a has mean 3 and std 2; with it, another."""
  reward = weighted_sum(
    {
      'a': constant([[1.0, 5.0, 99.0]]),
      'b': constant([[0.0, 0.0, 0.0]], valid=[[True, True, False]]),
    },
    {'a': 1.0, 'b': 1.0},
    normalizers={'a': NORMALIZERS['standard'](eps=0.0)},
  )
  np.testing.assert_allclose(reward(*NOTHING).rewards, [[-1.0, 1.0, 0.0]])


def test_one_reward_of_weight_one_is_normalized_too():
  reward = weighted_sum(
    {'a': constant([[1.0, 5.0]])},
    {'a': 1.0},
    normalizers={'a': NORMALIZERS['fixed'](scale=2.0)},
  )
  np.testing.assert_allclose(reward(*NOTHING).rewards, [[0.5, 2.5]])


def test_what_is_held_out_is_measured_and_reaches_nothing():
  trained = constant([[1.0, 2.0, 3.0]], success=[[1.0, 0.0, 1.0]])
  judge = constant(
    [[7.0, jnp.nan, 9.0]], valid=[[True, False, True]], taste=[[4.0, 5.0, 6.0]]
  )
  reward = weighted_sum(
    {'a': trained, 'judge': judge}, {'a': 1.0}, monitor_only=('judge',)
  )
  scores, alone = reward(*NOTHING), trained(*NOTHING)
  np.testing.assert_array_equal(scores.rewards, alone.rewards)
  np.testing.assert_array_equal(scores.valid, alone.valid)
  np.testing.assert_array_equal(
    scores.measures['judge/reward'], [[7.0, np.nan, 9.0]]
  )
  np.testing.assert_array_equal(scores.measures['judge/valid'], [[1, 0, 1]])
  np.testing.assert_array_equal(scores.measures['judge/taste'], [[4, 5, 6]])
  assert 'taste' not in scores.measures


def test_measures_are_known_where_their_own_reward_is_valid():
  reward = weighted_sum(
    {
      'a': constant([[1.0, 2.0]], valid=[[True, False]], facts=[[1.0, 0.0]]),
      'judge': constant([[1.0, 2.0]], valid=[[False, True]]),
    },
    {'a': 1.0},
    monitor_only=('judge',),
  )
  masks = measure_masks(reward(*NOTHING))
  expected = {
    'facts': [[True, False]],
    'a/facts': [[True, False]],
    'a/reward': [[True, False]],
    'a/valid': [[True, True]],
    'judge/reward': [[False, True]],
    'judge/valid': [[True, True]],
  }
  assert set(masks) == set(expected)
  for name, mask in expected.items():
    np.testing.assert_array_equal(masks[name], mask)


def test_normalizers_see_the_whole_step():
  """Two parts of a step, each with a mean of its own."""

  def halves(prompts, images):
    return Scores(images[..., 0, 0, 0], jnp.ones(images.shape[:2], bool), {})

  images = jnp.arange(8.0).reshape(4, 2, 1, 1, 1)
  reward = weighted_sum(
    {'a': halves, 'b': Stages(lambda p, x: x, lambda x: halves({}, images))},
    {'a': 1.0, 'b': 0.0},
    normalizers={'a': NORMALIZERS['standard']()},
  )
  stages = with_stages(reward)
  begun = [stages.begin({}, images[k::2]) for k in range(2)]
  parts, whole = stages.finish(begun), reward({}, images)
  np.testing.assert_array_equal(parts.rewards, whole.rewards)
  assert abs(whole.rewards.mean()) < 1e-6
  assert parts.rewards[0, 0] < -1.5 < 1.5 < parts.rewards[3, 1]


@pytest.mark.parametrize(
  ('names', 'weights', 'options'),
  [
    ((), {}, {}),
    (('a',), {'b': 1.0}, {}),
    (('a', 'b'), {'a': 1.0}, {}),
    (('a',), {'a': float('nan')}, {}),
    (('a', 'b'), {'a': 0.0, 'b': 0.0}, {}),
    (('a',), {}, {'monitor_only': ('a',)}),
    (('a',), {'a': 1.0}, {'monitor_only': ('a',)}),
    (('a',), {'a': 1.0}, {'normalizers': {'b': None}}),
    (('a', 'b'), {'a': 1.0}, {'monitor_only': 'b', 'normalizers': {'b': None}}),
  ],
)
def test_refused(names, weights, options):
  with pytest.raises(InputError, match='Expected'):
    weighted_sum({n: constant([[1.0]]) for n in names}, weights, **options)
