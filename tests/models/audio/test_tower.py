"""Checks the audio tower by hand: counts, positions, what a clip can read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models.audio.tower import (
  AudioTower,
  AudioTowerConfig,
  init_params,
  param_shapes,
  sinusoids,
  tokens_of,
)
from adrpo_jax.tree_names import leaf_names

CONFIG = AudioTowerConfig(
  num_mel_bins=6,
  d_model=8,
  encoder_layers=2,
  encoder_attention_heads=2,
  encoder_ffn_dim=16,
  n_window=4,
  output_dim=5,
)
RNG = np.random.default_rng(0)
MEL = RNG.normal(size=(2, 3, 8, 6)).astype(np.float32)
FRAMES = np.array([13, 24])
PARAMS = jax.tree.map(  # Biases of zero would hide what lies outside a clip.
  lambda leaf: RNG.normal(size=leaf.shape).astype(np.float32) / 2,
  param_shapes(CONFIG),
)
features = jax.jit(
  lambda mel, frames: AudioTower(CONFIG).apply(PARAMS, mel, frames)
)


@pytest.mark.parametrize(
  ('frames', 'tokens'),
  [
    (0, 0),
    (1, 0),
    (2, 0),
    (3, 1),
    (4, 1),
    (5, 1),
    (6, 1),
    (7, 2),
    (200, 50),
    (201, 50),
    (300, 75),
    (1000, 250),
    (3000, 750),
  ],
)
def test_tokens(frames, tokens):
  assert tokens_of(frames) == tokens
  assert tokens_of(np.array([frames]))[0] == tokens


def test_sinusoids():
  """At width 4 the rates are 1 and 10⁻⁴: [sin t, sin εt, cos t, cos εt]."""
  rows = sinusoids(3, 4)
  np.testing.assert_allclose(rows[0], [0, 0, 1, 1])
  np.testing.assert_allclose(
    rows[2], [0.9092974, 2e-4, -0.4161468, 1 - 2e-8], rtol=1e-6
  )


def test_shapes_and_names():
  """Three chunks of 8 frames give 2 tokens each; keys have no bias."""
  assert features(MEL, FRAMES).shape == (2, 6, 5)
  names = leaf_names(init_params(CONFIG, jax.random.key(0)))
  assert names['params/conv1/kernel'].shape == (3, 6, 8)
  assert names['params/layers_0/k_proj/dense/kernel'].shape == (2, 8, 8)
  assert 'params/layers_0/k_proj/dense/bias' not in names
  assert 'params/layers_0/q_proj/dense/bias' in names


def test_what_lies_beyond_a_clip_is_not_read():
  """NaN there as well; the rows of another clip are not read either."""
  expected = np.asarray(features(MEL, FRAMES))
  mel = MEL.copy().reshape(2, 24, 6)
  mel[0, 13:] = np.nan
  result = np.asarray(features(mel.reshape(MEL.shape), FRAMES))
  np.testing.assert_array_equal(result[0, :3], expected[0, :3])
  np.testing.assert_array_equal(result[1], expected[1])


def test_chunks_do_not_see_each_other():
  mel = MEL.copy()
  mel[1, 1] += 1
  before, after = np.asarray(features(MEL, FRAMES)), features(mel, FRAMES)
  changed = np.abs(np.asarray(after) - before).max(-1) > 0
  assert changed.tolist() == [
    [False] * 6,
    [False, False, True, True] + 2 * [False],
  ]


def test_more_chunks_than_a_clip_needs_change_nothing():
  wide = np.concatenate([MEL, MEL], 1)
  result = features(wide, FRAMES)
  np.testing.assert_allclose(
    result[1, :6], features(MEL, FRAMES)[1], rtol=1e-5, atol=1e-6
  )


def test_gradients_of_empty_chunks_are_finite():
  """A clip of no frame at all, as padding rows of a batch may be."""

  def loss(params):
    rows = AudioTower(CONFIG).apply(params, MEL, jnp.array([0, 3]))
    return jnp.sum(rows[1, :1] ** 2)

  gradients = jax.jit(jax.grad(loss))(PARAMS)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'n_window': 5}, 'n_window to be a multiple of the two of a pair'),
    ({'d_model': 9, 'encoder_attention_heads': 3}, 'sine and cosine'),
    ({'encoder_attention_heads': 3}, 'd_model to be a multiple'),
  ],
)
def test_sizes_that_do_not_fit(change, message):
  sizes = {'d_model': 8, 'encoder_attention_heads': 2, 'n_window': 4}
  with pytest.raises(ValueError, match=message):
    AudioTowerConfig(**sizes | change)


def test_mel_of_another_window():
  with pytest.raises(ValueError, match=r'Expected mel \[P, C, 8, 6\]'):
    features(MEL.reshape(2, 6, 4, 6), FRAMES)
