"""On-device rewards, sums of rewards, and the limit on invalid samples."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards import protocol
from adrpo_jax.types import Scores


def brightness(images, facts):
  mean = images.mean((1, 2, 3))
  return {'reward': mean - facts['wanted'], 'mean': mean}


@pytest.fixture
def images():
  levels = jnp.array([[0.0, 0.25, 0.5], [0.75, 1.0, 0.125]])  # P=2, G=3
  return jnp.broadcast_to(levels[..., None, None, None], (2, 3, 4, 4, 3))


@pytest.fixture
def prompts():
  return {'ids': np.array([5, 7]), 'facts': {'wanted': jnp.array([0.5, 1.0])}}


def constant(rewards, valid=None, **measures):
  """A reward that says the same, whatever it sees."""
  rewards = jnp.array(rewards)
  valid = jnp.ones(rewards.shape, bool) if valid is None else jnp.array(valid)
  measures = {k: jnp.array(v) for k, v in measures.items()}
  return lambda prompts, images: Scores(rewards, valid, measures)


def test_on_device_holds_every_sample_against_the_facts_of_its_prompt(
  prompts, images
):
  scores = protocol.on_device(brightness)(prompts, images)
  np.testing.assert_allclose(
    scores.rewards, [[-0.5, -0.25, 0.0], [-0.25, 0.0, -0.875]], atol=1e-6
  )
  assert scores.valid.all()
  assert scores.valid.dtype == bool
  np.testing.assert_allclose(scores.measures['mean'], images[..., 0, 0, 0])


def test_on_device_marks_what_is_not_finite(prompts, images):
  broken = images.at[0, 1, 2, 2, 0].set(jnp.nan).at[1, 0].set(jnp.inf)
  scores = protocol.on_device(brightness)(prompts, broken)
  np.testing.assert_array_equal(
    scores.valid, [[True, False, True], [False, True, True]]
  )
  np.testing.assert_allclose(
    scores.rewards, [[-0.5, 0, 0], [0, 0, -0.875]], atol=1e-6
  )
  assert scores.measures['mean'][0, 1] == 0


def test_on_device_compiles_once_and_works_inside_jit(prompts, images):
  traces = []

  def judge(pictures, facts):
    traces.append(pictures.shape)
    return brightness(pictures, facts)

  reward = protocol.on_device(judge)
  for shift in (0.0, 0.1):
    reward(prompts, images + shift)
  assert traces == [(6, 4, 4, 3)]
  inside = jax.jit(lambda facts, x: reward({'facts': facts}, x))
  np.testing.assert_allclose(
    inside(prompts['facts'], images).rewards, reward(prompts, images).rewards
  )


def test_on_device_sharded_equals_unsharded(images):
  if jax.device_count() < 2:
    pytest.skip('needs two devices')
  mesh = jax.make_mesh(
    (2,),
    ('data',),
    devices=jax.devices()[:2],
    axis_types=(jax.sharding.AxisType.Auto,),
  )
  split = NamedSharding(mesh, PartitionSpec('data'))
  facts = {'wanted': jnp.array([0.5, 1.0])}
  reward = protocol.on_device(brightness)
  whole = reward({'facts': facts}, images)
  parts = reward(
    {'facts': jax.device_put(facts, split)}, jax.device_put(images, split)
  )
  np.testing.assert_array_equal(whole.rewards, parts.rewards)


def test_on_device_says_what_is_wrong_with_a_judge(prompts, images):
  reward = protocol.on_device(lambda x, facts: {'reward': x.mean((2, 3))})
  with pytest.raises(ValueError, match=r"'reward'.*\(6,\).*got \(6, 4\)"):
    reward(prompts, images)
  with pytest.raises(ValueError, match=r"prompts\['facts'\].*\['ids'\]"):
    protocol.on_device(brightness)({'ids': prompts['ids']}, images)


def test_weighted_sum_by_hand(prompts, images):
  reward = protocol.weighted_sum(
    {
      'a': constant([[1.0, 2.0, 3.0]], success=[[1.0, 0.0, 1.0]]),
      'b': constant([[10.0, 20.0, 30.0]], success=[[0.0, 0.0, 1.0]]),
    },
    {'a': 2.0, 'b': -0.1},
  )
  scores = reward(prompts, images)
  np.testing.assert_allclose(scores.rewards, [[1.0, 2.0, 3.0]], atol=1e-6)
  assert set(scores.measures) == {
    *('success', 'a/success', 'b/success'),
    *('a/reward', 'a/valid', 'b/reward', 'b/valid'),
  }
  np.testing.assert_array_equal(scores.measures['success'], [[1, 0, 1]])
  np.testing.assert_array_equal(scores.measures['b/reward'], [[10, 20, 30]])


def test_a_sum_is_valid_only_where_every_weighted_term_is(prompts, images):
  reward = protocol.weighted_sum(
    {
      'a': constant([[1.0, 2.0, 3.0]], valid=[[True, False, True]]),
      'b': constant([[1.0, 1.0, 1.0]], valid=[[True, True, False]]),
      'c': constant([[0.0, 0.0, 0.0]], valid=[[False, False, False]]),
    },
    {'a': 1.0, 'b': 1.0, 'c': 0.0},  # c is looked at, but not trained on
  )
  scores = reward(prompts, images)
  np.testing.assert_array_equal(scores.valid, [[True, False, False]])
  np.testing.assert_array_equal(scores.rewards, [[2.0, 0.0, 0.0]])
  np.testing.assert_array_equal(scores.measures['a/valid'], [[1, 0, 1]])
  np.testing.assert_array_equal(scores.measures['c/valid'], [[0, 0, 0]])


def test_one_reward_of_weight_one_is_itself():
  reward = constant([[1.0]])
  assert protocol.weighted_sum({'a': reward}, {'a': 1.0}) is reward


@pytest.mark.parametrize(
  ('names', 'weights'),
  [
    ((), {}),
    (('a',), {'b': 1.0}),
    (('a', 'b'), {'a': 1.0}),
    (('a',), {'a': float('nan')}),
    (('a', 'b'), {'a': 0.0, 'b': 0.0}),
  ],
)
def test_weighted_sum_refuses(names, weights):
  with pytest.raises(InputError, match='Expected'):
    protocol.weighted_sum({n: constant([[1.0]]) for n in names}, weights)


def test_the_limit_on_invalid_samples():
  protocol.check_invalid_share(0.1, limit=0.1)
  with pytest.raises(protocol.RewardError, match=r'12\.5%.*10\.0%.*not finite'):
    protocol.check_invalid_share(0.125, limit=0.1)
  with pytest.raises(protocol.RewardError, match='It raised KeyError'):
    protocol.check_invalid_share(
      1.0, limit=0.0, name='OCR', reason='It raised KeyError: 3.'
    )
