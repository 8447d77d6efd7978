"""Rows that take the next sample draw what rows that wait would draw."""

import functools

import jax
import numpy as np
import pytest
from small_decoders import QWEN2
from test_decoding import END, PAD, decode_fns

from adrpo_jax import sharding
from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.sampling import continuous_batching, decoding
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.sampling.token_distribution import make_token_distribution

P, G, L, T = 4, 6, 5, 12
TOKENS = np.random.default_rng(0).integers(1, 40, (P, L))
MASK = np.arange(L)[None] >= np.array([0, 2, 4, 1])[:, None]


def answers(fns, function=decoding.generate, stops=(END,), max_length=T):
  """Completions of G samples of each prompt by one of the two loops."""
  generate = functools.partial(
    function,
    fns,
    max_length=max_length,
    stops=stops,
    pad=PAD,
    distribution=make_token_distribution(),
  )
  return jax.jit(generate)(TOKENS, MASK, sample_keys(jax.random.key(3), P, G))


def in_turns(rows, shards=1):
  return functools.partial(
    continuous_batching.generate, rows=rows, shards=shards
  )


def small_model():
  """(functions of a random decoder, its parameters)."""
  module = Decoder(QWEN2)
  draw = jax.jit(lambda key: decoder_folder.init_params(module, key))
  return language_model(module), draw(jax.random.key(0))


def assert_same(got, expected):
  for name, leaf in expected._asdict().items():
    other = getattr(got, name)
    if name == 'log_prob':
      np.testing.assert_allclose(other, leaf, atol=1e-5)
    else:
      np.testing.assert_array_equal(other, leaf, err_msg=name)


@pytest.mark.parametrize(('rows', 'shards'), [(1, 1), (8, 1), (8, 4), (99, 1)])
def test_a_sample_is_the_same_whatever_row_it_is_drawn_in(rows, shards):
  model, params = small_model()
  stops = range(8)  # A fifth of all tokens: lengths are uneven.
  expected = answers(model.decode_fns(params), stops=stops)
  lengths = np.asarray(expected.mask.sum(1))
  assert lengths.min() == 1
  assert lengths.max() == T
  assert expected.ended.any()
  assert not expected.ended.all()
  got = answers(model.decode_fns(params), in_turns(rows, shards), stops)
  assert_same(got, expected)


def test_no_row_waits_for_the_longest_completion():
  """The model is read as often as the tokens of all rows need."""

  def reads(function):
    calls = []
    got = answers(decode_fns(calls), function, max_length=60)
    jax.effects_barrier()
    return len(calls), int(got.mask.sum()), int(got.mask.sum(1).max())

  together, tokens, longest = reads(decoding.generate)
  assert together == longest
  steps, same_tokens, _ = reads(in_turns(4))
  assert same_tokens == tokens
  assert tokens / 4 <= steps <= tokens / 4 + longest


def test_no_cache_travels_between_devices():
  """On a mesh, rows and prompts of a device stay there."""
  mesh = sharding.make_mesh(data=4, devices=jax.devices()[:4])
  split, whole = sharding.batch_sharding(mesh), sharding.replicated(mesh)
  model, params = small_model()
  stops = range(8)

  def drawn(params, tokens, mask, keys):
    return continuous_batching.generate(
      model.decode_fns(params),
      tokens,
      mask,
      keys,
      max_length=T,
      stops=stops,
      pad=PAD,
      distribution=make_token_distribution(),
      rows=8,
      shards=4,
    )

  arguments = (
    jax.device_put(params, whole),
    *(jax.device_put(x, split) for x in (TOKENS, MASK)),
    jax.device_put(sample_keys(jax.random.key(3), P, G), split),
  )
  compiled = jax.jit(drawn).lower(*arguments).compile()
  expected = answers(model.decode_fns(params), stops=stops)
  assert_same(compiled(*arguments), expected)
  text = compiled.as_text()
  assert 'all-gather' not in text
  assert 'all-to-all' not in text
  assert 'collective-permute' not in text
