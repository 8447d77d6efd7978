"""On-device rewards, and the limit on invalid samples."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import pytest

from adrpo_jax.rewards import protocol
from adrpo_jax.types import PromptBatch


def brightness(images, facts):
  mean = images.mean((1, 2, 3))
  return {'reward': mean - facts['wanted'], 'mean': mean}


@pytest.fixture
def images():
  levels = jnp.array([[0.0, 0.25, 0.5], [0.75, 1.0, 0.125]])  # P=2, G=3
  return jnp.broadcast_to(levels[..., None, None, None], (2, 3, 4, 4, 3))


@pytest.fixture
def prompts():
  return PromptBatch.of_step(
    np.array([5, 7]), facts={'wanted': jnp.array([0.5, 1.0])}
  )


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

  def judge(images, facts):
    traces.append(images.shape)
    return brightness(images, facts)

  reward = protocol.on_device(judge)
  for shift in (0.0, 0.1):
    reward(prompts, images + shift)
  assert traces == [(6, 4, 4, 3)]
  inside = jax.jit(reward)
  np.testing.assert_allclose(
    inside(prompts, images).rewards, reward(prompts, images).rewards
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
  asked = PromptBatch.of_step(
    np.arange(2), facts={'wanted': jnp.array([0.5, 1.0])}
  )
  reward = protocol.on_device(brightness)
  whole = reward(asked, images)
  parts = reward(jax.device_put(asked, split), jax.device_put(images, split))
  np.testing.assert_array_equal(whole.rewards, parts.rewards)


def test_on_device_says_what_is_wrong_with_a_judge(prompts, images):
  reward = protocol.on_device(lambda x, facts: {'reward': x.mean((2, 3))})
  with pytest.raises(ValueError, match=r"'reward'.*\(6,\).*got \(6, 4\)"):
    reward(prompts, images)


def test_the_limit_on_invalid_samples():
  protocol.check_invalid_share(0.1, limit=0.1)
  with pytest.raises(protocol.RewardError, match=r'12\.5%.*10\.0%.*not finite'):
    protocol.check_invalid_share(0.125, limit=0.1)
  with pytest.raises(protocol.RewardError, match='It raised KeyError'):
    protocol.check_invalid_share(
      1.0, limit=0.0, name='OCR', reason='It raised KeyError: 3.'
    )
