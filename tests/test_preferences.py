"""A file of pairs that a user writes, from the documentation alone."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file
import small_run

from adrpo_jax import preferences
from adrpo_jax.errors import InputError
from adrpo_jax.experience import offline

N = 12  # pairs, more than the prompts of a step


def write_pairs(path, metadata):
  rng = np.random.default_rng(0)
  x0 = rng.standard_normal((2, N, 8, 8, 8)).astype(np.float32)
  arrays = {
    'ids': np.arange(N, dtype=np.int32),
    'winner/x0': x0[0],
    'loser/x0': x0[1],
    'rewards': np.tile(np.float32([1, 0]), (N, 1)),
  }
  save_file(arrays, path, metadata)
  return x0


@pytest.mark.slow
def test_a_step_is_trained_on_a_file_as_the_documentation_describes_it(
  tmp_path,
):
  path = tmp_path / 'mine.safetensors'
  sample = json.dumps({'x0': ['float32', [8, 8, 8]]})
  x0 = write_pairs(path, {'pairs': str(N), 'sample': sample})
  config = small_run.make_config(
    method__name='dpo', training__updates_per_rollout=1
  )
  run = small_run.build(config)
  state = run.init()
  before = jax.device_get(state.params)
  step = offline(run, path, steps=2, seed=0)
  prompts, samples, scores, _ = step(state, 1, None)
  # Step 1 has the pairs 8 to 11, and then the first ones again.
  rows = [*range(small_run.P, N), *range(2 * small_run.P - N)]
  np.testing.assert_array_equal(prompts.ids, rows)
  np.testing.assert_array_equal(samples['x0'][:, 0], x0[0][rows])
  np.testing.assert_array_equal(samples['x0'][:, 1], x0[1][rows])
  np.testing.assert_array_equal(scores.rewards, [[1, 0]] * small_run.P)
  state, metrics = run.update(
    state, run.frozen, samples, scores, prompts, jax.random.key(0)
  )
  # The policy is still the reference: the loss of a pair is log 2.
  assert metrics['finite']
  assert metrics['loss'] == pytest.approx(np.log(2), abs=1e-3)
  after = jax.device_get(state.params)
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, after)
  assert max(jax.tree.leaves(moved)) > 0


def test_metadata_that_are_missing_are_named(tmp_path):
  path = tmp_path / 'mine.safetensors'
  write_pairs(path, {'pairs': str(N), 'latent': '[8, 8, 8]'})
  with pytest.raises(InputError, match=r'"sample" .*dtype and shape'):
    preferences.read(path)
