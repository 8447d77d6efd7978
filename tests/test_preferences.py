"""A file of pairs that a user writes, from the documentation alone."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
import small_run

from adrpo_jax import preferences
from adrpo_jax.errors import InputError
from adrpo_jax.experience import offline
from adrpo_jax.types import Scores

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
    preferences.read(path, N)


SAMPLE = json.dumps({'x0': ['float32', [8, 8, 8]]})


@pytest.mark.parametrize(
  ('name', 'place', 'value', 'said'),
  [
    ('ids', 3, N, r'the prompt 12 in pair 3, of training prompts 0 to 11'),
    ('ids', 0, -1, r'the prompt -1 in pair 0'),
    ('rewards', (5, 1), np.nan, r'rewards in pair 5 that is not finite'),
    ('rewards', (5, 0), np.inf, r'rewards in pair 5 that is not finite'),
    ('rewards', (2, 0), -1, r'winner of reward -1 and a loser of 0 in pair 2'),
    ('winner/x0', (1, 2, 3, 4), np.nan, r'winner/x0 in pair 1'),
    ('loser/x0', (11, 0, 0, 0), -np.inf, r'loser/x0 in pair 11'),
  ],
)
def test_values_that_no_pairs_have_are_named(
  tmp_path, name, place, value, said
):
  path = tmp_path / 'mine.safetensors'
  write_pairs(path, {'pairs': str(N), 'sample': SAMPLE})
  arrays = load_file(path)
  assert preferences.read(path, N)['ids'].shape == (N,)
  arrays[name][place] = value
  save_file(arrays, path, {'pairs': str(N), 'sample': SAMPLE})
  with pytest.raises(InputError, match=said) as raised:
    preferences.read(path, N)
  assert str(path) in str(raised.value)


def test_a_file_without_pairs_is_refused(tmp_path):
  path = tmp_path / 'mine.safetensors'
  write_pairs(path, {})
  arrays = {name: leaf[:0] for name, leaf in load_file(path).items()}
  save_file(arrays, path, {'pairs': '0', 'sample': SAMPLE})
  with pytest.raises(InputError, match='at least one'):
    preferences.read(path, N)


def drawn(**leaves):
  """What a rollout returns: [P, G, ...] of these arrays of one sample."""
  return {
    name: jax.ShapeDtypeStruct((2, 3, *shape), np.dtype(dtype))
    for name, (dtype, shape) in leaves.items()
  }


@pytest.mark.parametrize(
  ('leaves', 'said'),
  [
    ({'x0': ('float32', (8, 8, 4))}, r'8, 8, 4.*got .*float32 \[8, 8, 8\]'),
    ({'x0': ('bfloat16', (8, 8, 8))}, 'bfloat16'),
    ({'tokens': ('int32', (5,))}, "'tokens'"),
  ],
)
def test_samples_that_the_run_does_not_draw_are_refused(tmp_path, leaves, said):
  path = tmp_path / 'mine.safetensors'
  write_pairs(path, {'pairs': str(N), 'sample': SAMPLE})
  pairs = preferences.read(path, N)
  same = drawn(x0=('float32', (8, 8, 8)))
  preferences.check_samples(path, pairs, same, {})
  with pytest.raises(InputError, match=said) as raised:
    preferences.check_samples(path, pairs, drawn(**leaves), {})
  assert str(path) in str(raised.value)


@pytest.mark.parametrize('token', [-1, 7])
def test_tokens_that_the_model_does_not_have_are_named(tmp_path, token):
  path = tmp_path / 'mine.safetensors'
  tokens = np.full((2, 3, 5), 6, np.int32)
  leaves = drawn(tokens=('int32', (5,)))
  pairs = {
    'winner': {'tokens': tokens[0]},
    'loser': {'tokens': tokens[1]},
  }
  preferences.check_samples(path, pairs, leaves, {'tokens': 7})
  tokens[1, 2, 4] = token
  with pytest.raises(InputError, match=rf'0 to 6.*got {token} in loser 2'):
    preferences.check_samples(path, pairs, leaves, {'tokens': 7})


def test_no_damaged_file_of_drawn_pairs_is_read(tmp_path):
  """A flipped bit anywhere is an error, or changes no pair."""
  path = tmp_path / 'pairs.safetensors'
  rng = np.random.default_rng(0)

  def sample(step):
    x0 = rng.standard_normal((4, 3, 2)).astype(np.float32)
    scores = Scores(rng.random((4, 3)), np.ones((4, 3), bool), {})
    return np.arange(4, dtype=np.int32), {'x0': x0}, scores

  preferences.draw(path, 2, sample, lambda step: None)
  whole, expected = path.read_bytes(), preferences.read(path, 4)
  refused = 0
  for place, bit in rng.integers((len(whole), 8), size=(150, 2)):
    changed = bytearray(whole)
    changed[place] ^= 1 << bit
    path.write_bytes(changed)
    try:
      got = preferences.read(path, 4)
    except InputError as error:
      refused += str(path) in str(error)
    else:
      jax.tree.map(np.testing.assert_array_equal, got, expected)
  assert refused > 120
  path.write_bytes(whole[:-1])
  with pytest.raises(InputError, match='cut short'):
    preferences.read(path, 4)
