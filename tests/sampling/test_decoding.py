"""Generation from a chain of tokens whose completions are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.sampling.decoding import DecodeFns, generate
from adrpo_jax.sampling.token_distribution import (
  greedy,
  make_token_distribution,
  token_log_prob,
)

V, END, STOP, PAD = 6, 4, 5, 0
# After 1 comes 2, then 3, then the end; after 0 mostly 1.
CHAIN = np.full((V, V), 0.02, np.float32)
for before, after in [(0, 1), (1, 2), (2, 3), (3, END), (END, 1), (STOP, 1)]:
  CHAIN[before, after] = 0.9
LOGITS = jnp.log(CHAIN / CHAIN.sum(1, keepdims=True))


def decode_fns(calls=None):
  """A state is the last token; the cache counts the tokens of a row."""

  def prefill(tokens, mask, slots):
    assert slots >= tokens.shape[1]
    return tokens[:, -1:].astype(jnp.float32), mask.sum(1)

  def extend(tokens, alive, cache):
    if calls is not None:
      jax.debug.callback(lambda: calls.append(1))
    return tokens[:, None].astype(jnp.float32), cache + alive

  return DecodeFns(
    prefill=prefill,
    extend=extend,
    logits=lambda states: LOGITS[states[..., 0].astype(int)],
    repeat=lambda cache, times: jnp.repeat(cache, times, 0),
    empty=lambda cache, rows, slots: jnp.zeros(rows, cache.dtype),
    fill=lambda cache, prompts, index, takes: jnp.where(
      takes.reshape(-1),
      jax.vmap(lambda own, i: own[i])(
        prompts.reshape(len(index), -1), index
      ).reshape(-1),
      cache,
    ),
    take=lambda cache, index: jax.vmap(lambda own, i: own[i])(
      cache.reshape(len(index), -1), index
    ).reshape(-1),
    seek=lambda cache, slot: cache,
  )


def generated(
  prompts,
  samples=1,
  *,
  calls=None,
  max_length=6,
  stops=(END,),
  **changes,
):
  tokens = jnp.asarray(prompts, jnp.int32)
  keys = jax.random.split(jax.random.key(0), (len(prompts), samples))
  settings = {'distribution': greedy(), 'pad': PAD} | changes
  function = functools.partial(
    generate,
    decode_fns(calls),
    max_length=max_length,
    stops=stops,
    **settings,
  )
  return jax.jit(function)(tokens, tokens > 0, keys)


def test_the_likeliest_answers():
  got = generated([[0, 1], [1, 3], [1, 2]])
  np.testing.assert_array_equal(
    got.tokens,
    [[2, 3, END, 0, 0, 0], [END, 0, 0, 0, 0, 0], [3, END, 0, 0, 0, 0]],
  )
  np.testing.assert_array_equal(got.mask.sum(1), [3, 1, 2])
  assert got.ended.all()
  assert not got.log_prob[~got.mask].any()
  assert np.allclose(got.log_prob[got.mask], 0.0)  # Greedy: certain.


def test_an_answer_that_has_no_room_has_not_ended():
  got = generated([[0, 1], [1, 3]], max_length=2)
  np.testing.assert_array_equal(got.tokens, [[2, 3], [END, 0]])
  assert got.ended.tolist() == [False, True]
  assert got.mask.tolist() == [[True, True], [True, False]]


def test_any_of_several_tokens_ends_an_answer():
  got = generated([[0, 1]], stops=(END, 3))
  np.testing.assert_array_equal(got.tokens, [[2, 3, 0, 0, 0, 0]])


def test_the_loop_ends_with_the_last_answer():
  calls = []
  generated([[0, 1], [1, 3]], calls=calls, max_length=50)
  jax.effects_barrier()
  assert len(calls) == 3


def test_log_probabilities_are_those_of_a_second_reading():
  distribution = make_token_distribution(1.3, top_k=4, top_p=0.97)
  got = generated([[0, 1]] * 3, 64, distribution=distribution)
  starts = jnp.ones((192, 1), jnp.int32)
  before = jnp.concatenate([starts, got.tokens[:, :-1]], 1)
  expected = token_log_prob(distribution, LOGITS[before], got.tokens)
  np.testing.assert_allclose(
    got.log_prob, jnp.where(got.mask, expected, 0), atol=1e-6
  )
  assert len(np.unique(np.asarray(got.tokens), axis=0)) > 10


def test_completions_are_sampled_from_the_chain():
  got = generated(
    [[0, 1]],
    4000,
    distribution=make_token_distribution(),
    max_length=1,
  )
  frequency = np.bincount(np.asarray(got.tokens[:, 0]), minlength=V) / 4000
  np.testing.assert_allclose(frequency, CHAIN[1] / CHAIN[1].sum(), atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize('rows', [1, 2])
def test_a_completion_does_not_depend_on_other_rows(rows):
  tokens = jnp.asarray([[0, 1], [1, 2], [1, 0]], jnp.int32)
  keys = jax.random.split(jax.random.key(3), (3, 4))
  function = functools.partial(
    generate,
    decode_fns(),
    max_length=6,
    stops=(END,),
    pad=PAD,
    distribution=make_token_distribution(),
  )
  whole = function(tokens, tokens > 0, keys)
  part = function(tokens[:rows], tokens[:rows] > 0, keys[:rows])
  for a, b in zip(whole, part, strict=True):
    np.testing.assert_array_equal(a[: rows * 4], b)
