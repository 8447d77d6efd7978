"""Generation with a language model: one prefill, then one token per step.

Shapes are static. Prompts are padded on the left to one length, and completions
have T positions. The loop stops early when every completion has ended.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.sampling.token_distribution import (
  TokenDistribution,
  sample_tokens,
  token_log_prob,
)
from adrpo_jax.types import Array, PyTree


class DecodeFns(NamedTuple):
  """The functions of a decoder, parameters included, that generation calls.

  The last four are those of `continuous_batching`, whose rows and prompts are
  split into S shards, each with the rows and prompts that follow each other.

  prefill: (tokens [P, L], mask [P, L], slots) -> last state [P, D], cache
  extend:  (tokens [B], alive [B], cache) -> state [B, D], cache
  logits:  (states [*, D]) -> [*, V]
  repeat:  (cache of P rows, G) -> cache of P·G rows, each row G times in turn
  empty:   (cache of P rows, R, M) -> cache of R rows with M free slots
  fill:    (cache of R rows, cache of P rows, index [S, R/S], takes [S, R/S]) ->
           the first, with the P/S rows of a shard that `index` names wherever
           `takes` is True
  take:    (cache of R rows, index [S, n]) -> cache of S·n rows, those that
           `index` names of each shard
  seek:    (cache, slot) -> the cache, whose next token goes to that slot
  """

  prefill: Callable[[Array, Array, int], tuple[Array, PyTree]]
  extend: Callable[[Array, Array, PyTree], tuple[Array, PyTree]]
  logits: Callable[[Array], Array]
  repeat: Callable[[PyTree, int], PyTree]
  empty: Callable[[PyTree, int, int], PyTree]
  fill: Callable[[PyTree, PyTree, Array, Array], PyTree]
  take: Callable[[PyTree, Array], PyTree]
  seek: Callable[[PyTree, Array], PyTree]


class Answers(NamedTuple):
  """Sampled tokens and their log-probabilities, the end token included.

  tokens:   [B, T], `pad` after the end
  mask:     [B, T] bool, True up to and including the end token
  log_prob: [B, T] float32, 0 after the end
  ended:    [B] bool, False if the completion was cut off after T tokens
  """

  tokens: Array
  mask: Array
  log_prob: Array
  ended: Array


class _Loop(NamedTuple):
  time: Array
  state: Array
  cache: Any
  alive: Array
  answers: Answers


def generate(
  decode_fns: DecodeFns,
  tokens: Array,
  mask: Array,
  keys: Array,
  *,
  max_length: int,
  stops: Sequence[int],
  pad: int,
  distribution: TokenDistribution,
) -> Answers:
  """Generates G completions of each of P prompts, B = P·G rows.

  Args:
    decode_fns: the model with its parameters.
    tokens: [P, L], padded on the left.
    mask: [P, L] bool, False for padding.
    keys: [P, G], one for each completion. The token at position t is sampled
      with fold_in(key, t) and does not depend on other rows of the batch.
    max_length: T, the largest number of tokens of a completion.
    stops: the tokens that end a completion, one or several.
    pad: the token after the end.
    distribution: how a token is sampled from logits.
  """
  prompts, samples = keys.shape[:2]
  rows = prompts * samples
  row_keys = keys.reshape(rows, *keys.shape[2:])
  state, cache = decode_fns.prefill(tokens, mask, tokens.shape[1] + max_length)
  ends = jnp.asarray(list(stops))

  def step(loop: _Loop) -> _Loop:
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    logits = decode_fns.logits(loop.state)
    token = sample_tokens(distribution, logits, fold(row_keys, loop.time))
    token = jnp.where(loop.alive, token, pad)
    value = jnp.where(
      loop.alive, token_log_prob(distribution, logits, token), 0.0
    )
    ends_now = loop.alive & jnp.isin(token, ends)
    before = loop.answers
    answers = Answers(
      tokens=before.tokens.at[:, loop.time].set(token),
      mask=before.mask.at[:, loop.time].set(loop.alive),
      log_prob=before.log_prob.at[:, loop.time].set(value),
      ended=before.ended | ends_now,
    )
    state, cache = decode_fns.extend(token, loop.alive, loop.cache)
    return _Loop(loop.time + 1, state, cache, loop.alive & ~ends_now, answers)

  start = _Loop(
    time=jnp.int32(0),
    state=jnp.repeat(state, samples, 0),
    cache=decode_fns.repeat(cache, samples),
    alive=jnp.ones(rows, bool),
    answers=Answers(
      tokens=jnp.full((rows, max_length), pad, jnp.int32),
      mask=jnp.zeros((rows, max_length), bool),
      log_prob=jnp.zeros((rows, max_length)),
      ended=jnp.zeros(rows, bool),
    ),
  )

  def unfinished(loop: _Loop) -> Array:
    return (loop.time < max_length) & loop.alive.any()

  return jax.lax.while_loop(unfinished, step, start).answers
