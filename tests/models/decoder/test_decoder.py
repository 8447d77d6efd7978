"""Decoders: cache, padding, scanned layers, meshes, and a layer by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import merged_lora
import numpy as np
import pytest
from small_decoders import QWEN2, QWEN3

from adrpo_jax import sharding
from adrpo_jax.models import lora
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder import weight_table as decoder_table
from adrpo_jax.models.decoder.architectures import ARCHITECTURES
from adrpo_jax.models.decoder.cached_decoder import (
  CachedDecoder,
  unstack_layers,
)
from adrpo_jax.models.decoder.decoder import (
  Decoder,
  Scorer,
  last_token_index,
  output_embedding,
  position_ids,
)
from adrpo_jax.models.decoder.log_probs import logits
from adrpo_jax.models.files import weight_table

TOKENS = np.random.default_rng(0).integers(1, 40, (2, 7))
ALL = np.ones((2, 7), bool)
LOOP = Compute(scan_layers=True)


def random_params(module):
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: (0.5 * rng.normal(size=leaf.shape)).astype(leaf.dtype),
    decoder_folder.param_shapes(module),
  )


def states(module, params, tokens, mask):
  mask = jnp.asarray(mask)
  return jax.jit(module.apply)(params, tokens, position_ids(mask), mask)


def left_padded(count, garbage=3):
  tokens = np.pad(TOKENS, ((0, 0), (count, 0)), constant_values=garbage)
  return tokens, np.pad(ALL, ((0, 0), (count, 0)))


@pytest.mark.parametrize('config', [QWEN2, QWEN3], ids=['qwen2', 'qwen3'])
@pytest.mark.parametrize('padding', ['left', 'right'])
def test_cached_decoding_is_the_full_pass(config, padding):
  """Prompts of 4 and 2 tokens, then one token at a time."""
  module, reading = Decoder(config, LOOP), CachedDecoder(config)
  params = random_params(module)
  mask = np.ones((2, 8), bool)
  mask[1, {'left': slice(0, 2), 'right': slice(2, 4)}[padding]] = False
  tokens = np.random.default_rng(1).integers(0, 40, (2, 8))
  positions = np.asarray(position_ids(jnp.asarray(mask)))
  full = states(module, params, tokens, mask)

  @jax.jit
  def decoded(params, tokens, positions, mask):
    unstacked = unstack_layers(params)
    read, cache = reading.apply(
      unstacked,
      tokens[:, :4],
      positions[:, :4],
      mask[:, :4],
      9,
      method='prefill',
    )

    def step(cache, rows):
      x, cache = reading.apply(
        unstacked, *(row[:, None] for row in rows), cache, method='extend'
      )
      return cache, x[:, 0]

    rest = (tokens[:, 4:].T, positions[:, 4:].T, mask[:, 4:].T)
    cache, later = jax.lax.scan(step, cache, rest)
    return jnp.concatenate([read, later.swapaxes(0, 1)], 1), cache

  read, cache = decoded(params, tokens, positions, mask)
  assert np.abs(read - full)[mask].max() < 1e-5 * np.abs(full).max()
  for array in cache.key_values:
    assert array.shape == (2, 2, 2, 9, config.head_dim)
  assert int(cache.length) == 8
  np.testing.assert_array_equal(cache.mask[:, :8], mask)


def test_padding_changes_nothing():
  module = Decoder(QWEN2, LOOP)
  params = random_params(module)
  plain = states(module, params, TOKENS, ALL)
  tokens, mask = left_padded(3)
  left = states(module, params, tokens, mask)
  np.testing.assert_allclose(left[:, 3:], plain, atol=2e-6)
  right = states(module, params, tokens[:, ::-1], mask[:, ::-1])
  reversed_states = states(module, params, TOKENS[:, ::-1], ALL)
  np.testing.assert_allclose(right[:, :7], reversed_states, atol=2e-6)
  # Ids that no vocabulary has would make NaN, were they looked up.
  garbage, _ = left_padded(3, garbage=10**6)
  np.testing.assert_array_equal(states(module, params, garbage, mask), left)


def test_a_token_sees_none_that_comes_later():
  module = Decoder(QWEN2, LOOP)
  params = random_params(module)
  changed = TOKENS.copy()
  changed[:, 4] = (changed[:, 4] + 1) % 40
  before = states(module, params, TOKENS, ALL)
  moved = np.abs(states(module, params, changed, ALL) - before).max((0, 2))
  assert moved[:4].max() == 0
  assert moved[4:].min() > 1e-3


def test_a_loop_over_layers_is_the_straight_program():
  params = random_params(Decoder(QWEN3))
  tokens, mask = left_padded(1)
  looped, straight = (
    states(
      Decoder(QWEN3, Compute(scan_layers=scan_layers)), params, tokens, mask
    )
    for scan_layers in (True, False)
  )
  np.testing.assert_allclose(looped[:, 1:], straight[:, 1:], atol=2e-6)


def test_what_is_masked_has_no_gradient():
  """Masked tokens have states, but their embeddings have no gradient."""
  module = Decoder(
    QWEN2,
    Compute(
      scan_layers=True, remat_policy=jax.checkpoint_policies.nothing_saveable
    ),
  )
  params = random_params(module)
  tokens, mask = left_padded(2)
  at = position_ids(jnp.asarray(mask))

  def loss(params, embedding):
    table = {'embedding': embedding}
    weights = params['params'] | {'embed_tokens': table}
    x = module.apply({'params': weights}, tokens, at, jnp.asarray(mask))
    return jnp.sum(jnp.where(mask[..., None], x, 0) ** 3)

  embedding = params['params']['embed_tokens']['embedding']
  gradient = jax.jit(jax.grad(loss, 1))(params, embedding)
  assert np.isfinite(gradient).all()
  unread = sorted(set(range(40)) - set(tokens[:, 2:].ravel()))
  assert 0 in unread  # what a masked token is read as
  assert np.abs(gradient[np.array(unread)]).max() == 0
  assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize('config', [QWEN2, QWEN3], ids=['qwen2', 'qwen3'])
def test_on_a_mesh_it_is_the_same(config):
  """Rows are sharded over data × fsdp, heads over tensor."""
  mesh = sharding.make_mesh(data=2, fsdp=2, tensor=2)
  plain = CachedDecoder(config)
  split = CachedDecoder(
    config,
    Compute(
      constrain=lambda x: jax.lax.with_sharding_constraint(
        x, sharding.batch_sharding(mesh)
      ),
    ),
  )
  params = random_params(Decoder(config, LOOP))
  tokens, mask = (np.tile(rows, (2, 1)) for rows in left_padded(1))
  positions = np.asarray(position_ids(jnp.asarray(mask)))
  sharded = sharding.put_tree(params, sharding.tree_shardings(params, mesh))
  kernel = sharded['params']['layers_0']['o_proj']['dense']['kernel']
  assert kernel.sharding.spec == jax.P(None, 'tensor', 'fsdp')

  def decoded(module, params, rows):
    head, last = (
      [part[:, cut] for part in rows] for cut in (slice(0, 7), slice(7, 8))
    )
    unstacked = unstack_layers(params)
    _, cache = module.apply(unstacked, *head, 8, method='prefill')
    return module.apply(unstacked, *last, cache, method='extend')

  expected, _ = jax.jit(decoded, static_argnums=0)(
    plain, params, (tokens, positions, mask)
  )
  rows = sharding.put_rows(mesh, (tokens, positions, mask))
  result, cache = jax.jit(
    decoded,
    static_argnums=0,
    out_shardings=(sharding.batch_sharding(mesh), None),
  )(split, sharded, rows)
  assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()
  for array in cache.key_values:
    shard = array.addressable_shards[0].data
    assert shard.shape == (2, 1, 1, 8, config.head_dim)


def test_one_layer_by_hand():
  """The equations in float64; rotated pairs are (x_i, x_{i + d/2})."""
  config = dataclasses.replace(QWEN3, num_hidden_layers=1, attention_bias=True)
  module = Decoder(config)
  params = random_params(module)
  p = jax.tree.map(np.float64, params['params'])
  block = jax.tree.map(lambda leaf: leaf[0], p['layers_0'])

  def normed(x, scale):
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-6) * scale['scale']

  def dense(x, name):
    weights = block[name]['dense']
    return x @ weights['kernel'] + weights.get('bias', 0.0)

  def rotated(x):
    angles = np.arange(7)[:, None] * 1e4 ** (-np.arange(3) / 3)
    z = (x[..., :3] + 1j * x[..., 3:]) * np.exp(1j * angles)[None, :, None]
    return np.concatenate([z.real, z.imag], -1)

  x = p['embed_tokens']['embedding'][TOKENS]
  y = normed(x, block['input_layernorm'])
  q = normed(dense(y, 'q_proj').reshape(2, 7, 4, 6), block['q_norm'])
  k = normed(dense(y, 'k_proj').reshape(2, 7, 2, 6), block['k_norm'])
  v = dense(y, 'v_proj').reshape(2, 7, 2, 6)
  k, v = (np.repeat(a, 2, 2) for a in (rotated(k), v))
  scores = np.einsum('bqhd,bkhd->bhqk', rotated(q), k) / np.sqrt(6)
  scores = np.where(np.tril(np.ones((7, 7)))[None, None], np.exp(scores), 0)
  scores /= scores.sum(-1, keepdims=True)
  mixed = np.einsum('bhqk,bkhd->bqhd', scores, v).reshape(2, 7, 24)
  x = x + dense(mixed, 'o_proj')
  y = normed(x, block['post_attention_layernorm'])
  gate = dense(y, 'gate_proj')
  gate /= 1 + np.exp(-gate)
  x = x + dense(gate * dense(y, 'up_proj'), 'down_proj')
  expected = normed(x, p['norm'])
  result = states(module, params, TOKENS, ALL)
  assert np.abs(result - expected).max() < 2e-5 * np.abs(expected).max()
  scores = logits(result, output_embedding(params))
  expected = expected @ p['output_embedding'].T
  assert np.abs(scores - expected).max() < 2e-5 * np.abs(expected).max()


def test_half_precision_has_float32_logits_and_its_own_cache():
  module = CachedDecoder(QWEN2, Compute(dtype=jnp.bfloat16))
  params = random_params(Decoder(QWEN2, LOOP))
  unstacked = unstack_layers(params)
  at = position_ids(jnp.asarray(ALL))
  x, cache = jax.eval_shape(
    lambda: module.apply(unstacked, TOKENS, at, ALL, 9, method='prefill')
  )
  assert x.dtype == jnp.bfloat16
  assert {array.dtype for array in cache.key_values} == {x.dtype}
  scores = jax.eval_shape(logits, x, output_embedding(params))
  assert scores.dtype == jnp.float32


def test_a_score_is_that_of_the_last_real_token():
  module = Scorer(QWEN3, LOOP)
  params = random_params(module)
  assert 'output_embedding' not in params['params']['decoder']
  mask = np.array([[1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1]], bool)
  np.testing.assert_array_equal(last_token_index(mask), [2, 6])
  scores = states(module, params, TOKENS, mask)
  trunk = {'params': params['params']['decoder']}
  config = dataclasses.replace(QWEN3, tie_word_embeddings=True)
  x = np.asarray(states(Decoder(config, LOOP), trunk, TOKENS, mask))
  head = params['params']['score']['dense']
  expected = x[[0, 1], [2, 6]] @ head['kernel'] + head.get('bias', 0.0)
  np.testing.assert_allclose(scores, expected[:, 0], rtol=1e-5)


@pytest.mark.parametrize(
  ('name', 'size', 'tensors'),
  [
    ('qwen2_0p5b', 494_032_768, 24 * 12 + 2),
    ('qwen2p5_7b', 7_615_616_512, 28 * 12 + 3),
    ('qwen3_0p6b', 596_049_920, 28 * 11 + 2),
    ('smollm2_135m', 134_515_008, 30 * 9 + 2),
  ],
)
def test_sizes_and_tables_of_released_models(name, size, tensors):
  module = Decoder(ARCHITECTURES[name], LOOP)
  shapes = decoder_folder.param_shapes(module)
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == size
  result = weight_table.sources(decoder_table.decoder_rows(), shapes).values()
  named = [name for source in result for name in source.names]
  assert len(named) == len(set(named)) == tensors


def test_adapters_lie_beside_all_seven_projections():
  module = Decoder(QWEN2, LOOP)
  params = random_params(module)
  adapters = lora.init(params, 2, jax.random.key(0), lora.DECODER)
  assert len(adapters) == 7
  changed = {
    name: pair | {'b': jnp.ones_like(pair['b'])}
    for name, pair in adapters.items()
  }
  beside = states(module, lora.attach(params, changed, 0.5), TOKENS, ALL)
  merged = states(module, merged_lora.merge(params, changed, 0.5), TOKENS, ALL)
  plain = states(module, params, TOKENS, ALL)
  assert np.abs(beside - plain).max() > 0.1
  assert np.abs(beside - merged).max() < 1e-4 * np.abs(merged).max()
