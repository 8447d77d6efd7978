"""A step drawn in parts, with the host judging beside, is the same step."""

import jax
import numpy as np
import pytest
import small_run

from adrpo_jax.errors import InputError
from adrpo_jax.experience import online


def experience(parts, reward, devices):
  config = small_run.make_config(compute__reward_chunks=parts)
  config.reward.weights = {reward: 1.0}
  run = small_run.build(config, devices)
  prompts, samples, scores, _ = online(run)(run.init(), 0, jax.random.key(3))
  return jax.device_get((prompts, samples, scores))


@pytest.mark.slow
@pytest.mark.parametrize('reward', ['shapes', 'jpeg_compressibility'])
@pytest.mark.parametrize(('parts', 'devices'), [(4, 1), (2, 4)])
def test_parts_change_nothing(reward, parts, devices):
  whole = experience(1, reward, 1)
  parted = experience(parts, reward, devices)
  assert whole[1]['x0'].std() > 0.1
  np.testing.assert_array_equal(parted[0].ids, whole[0].ids)
  np.testing.assert_allclose(parted[1]['x0'], whole[1]['x0'], atol=1e-5)
  assert parted[2].valid.all()
  np.testing.assert_allclose(parted[2].rewards, whole[2].rewards, atol=1e-2)


@pytest.mark.parametrize('parts', [3, 5])
def test_parts_have_to_divide_the_prompts(parts):
  with pytest.raises(
    InputError, match=r'multiple of data·fsdp · compute\.reward_chunks'
  ):
    small_run.build(small_run.make_config(compute__reward_chunks=parts))
