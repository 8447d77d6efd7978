"""Checks T5's encoder by hand: distance buckets, and the bias of attention."""

import jax
import numpy as np
import pytest

from adrpo_jax.models.compute import Compute
from adrpo_jax.models.files import text_encoder_tables, weight_table
from adrpo_jax.models.sd3.t5 import (
  T5Config,
  T5Encoder,
  relative_position_buckets,
)

CONFIG = T5Config(
  vocab_size=40,
  d_model=16,
  d_kv=4,
  d_ff=24,
  num_layers=2,
  num_heads=2,
)
TOKENS = np.random.default_rng(0).integers(2, 40, (2, 12))


def random_params(model, tokens, scale=0.5):
  shapes = jax.eval_shape(model.init, jax.random.key(0), tokens)
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: (scale * rng.normal(size=leaf.shape)).astype(leaf.dtype),
    shapes,
  )


def test_buckets_of_the_released_model():
  """From distance 8 on, bucket 8 + k begins at 8·2^(k/2)."""
  buckets = relative_position_buckets(512, 32, 128)
  first = [*range(8), 8, 12, 16, 23, 32, 46, 64, 91, 512]
  back = np.repeat(np.arange(16), np.diff(first))
  np.testing.assert_array_equal(buckets[511], back[::-1])  # keys before it
  np.testing.assert_array_equal(buckets[0, 1:], 16 + back[1:])  # and after it
  assert (np.diag(buckets) == 0).all()


def test_without_a_bias_order_does_not_matter():
  model = T5Encoder(CONFIG)
  params = random_params(model, TOKENS)
  run = jax.jit(model.apply)
  reversed_tokens = TOKENS[:, ::-1]
  states = run(params, TOKENS)
  assert np.abs(states - run(params, reversed_tokens)[:, ::-1]).max() > 1e-2
  table = params['params']['relative_attention_bias']
  table[:] = table[:1]
  states = run(params, TOKENS)
  np.testing.assert_allclose(
    run(params, reversed_tokens)[:, ::-1], states, atol=1e-4
  )


def test_every_layer_reads_the_one_bias():
  """A bias that restricts attention to the token itself separates tokens."""
  model = T5Encoder(CONFIG)
  params = random_params(model, TOKENS)
  assert params['params']['relative_attention_bias'].shape == (32, 2)
  params['params']['relative_attention_bias'][:] = -1e4
  params['params']['relative_attention_bias'][0] = 0
  changed = TOKENS.copy()
  changed[:, 5] = 1
  run = jax.jit(model.apply)
  moved = np.abs(run(params, TOKENS) - run(params, changed)).max((0, 2))
  assert moved[5] > 1e-2
  assert np.delete(moved, 5).max() == 0


def test_padding_is_attended():
  model = T5Encoder(CONFIG)
  params = random_params(model, TOKENS)
  padded = np.pad(TOKENS, ((0, 0), (0, 4)))
  run = jax.jit(model.apply)
  short, long = run(params, TOKENS), run(params, padded)
  assert np.abs(short - long[:, :12]).max() > 1e-2


def test_one_layer_by_hand():
  """The equations in float64, with scores that are not divided by √d."""
  config = T5Config(
    vocab_size=40, d_model=16, d_kv=4, d_ff=24, num_layers=1, num_heads=2
  )
  model = T5Encoder(config)
  params = random_params(model, TOKENS)
  p = jax.tree.map(np.float64, params['params'])
  block = jax.tree.map(lambda leaf: leaf[0], p['block_0'])
  weight = {n: v['dense']['kernel'] for n, v in block.items() if 'dense' in v}

  def normed(x, scale):
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-6) * scale

  x = p['shared']['embedding'][TOKENS]
  y = normed(x, block['attention_norm']['scale'])
  q, k, v = ((y @ weight[n]).reshape(2, 12, 2, 4) for n in 'qkv')
  scores = np.einsum('bqhd,bkhd->bhqk', q, k)
  bias = p['relative_attention_bias'][relative_position_buckets(12, 32, 128)]
  scores = np.exp(scores + np.einsum('qkh->hqk', bias))
  scores /= scores.sum(-1, keepdims=True)
  x = (
    x + np.einsum('bhqk,bkhd->bqhd', scores, v).reshape(2, 12, 8) @ weight['o']
  )
  y = normed(x, block['mlp_norm']['scale'])
  gate = y @ weight['wi_0']
  gate *= (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3))) / 2
  x = x + (gate * (y @ weight['wi_1'])) @ weight['wo']
  expected = normed(x, p['final_layer_norm']['scale'])
  states = model.apply(params, TOKENS)
  assert np.abs(states - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_states_are_of_the_dtype_of_computation(dtype):
  model = T5Encoder(CONFIG, Compute(dtype=np.dtype(dtype), scan_layers=True))
  states, _ = jax.eval_shape(
    lambda: model.init_with_output(jax.random.key(0), TOKENS)
  )
  assert states.dtype == dtype


def test_size_and_table_of_the_released_encoder():
  model = T5Encoder(T5Config(), Compute(scan_layers=True))
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 8), int))
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 4_762_310_656
  entries = weight_table.sources(text_encoder_tables.t5_rows(), shapes).values()
  named = [name for source in entries for name in source.names]
  assert len(named) == len(set(named)) == 24 * 9 + 3
  assert 'encoder.block.23.layer.1.DenseReluDense.wo.weight' in named
