"""Generation in which a row whose completion has ended takes the next sample.

Shapes are static, as in `decoding`. R rows work at the P·G samples of a step,
so that a row does not wait for the longest completion of all. When no sample is
left, and half of the rows have ended, the others go on as a batch of half the
size, and so on. The slots of the cache behind the prompt form a ring: all rows
write the slot of this moment, and a completion of at most T tokens never meets
itself. A sample gets the same keys, whatever row and moment it is drawn in. Yu
et al., `Orca <https://www.usenix.org/conference/osdi22/presentation/yu>`_,
2022.

The prompts and the rows are split over devices alike, and a device's rows take
samples of its own prompts, so that no cache travels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.sampling.decoding import Answers, DecodeFns
from adrpo_jax.sampling.token_distribution import (
  TokenDistribution,
  sample_tokens,
  token_log_prob,
)
from adrpo_jax.types import Array

# A share of the rows waits until it is this large: to fill one or many costs
# the same.
WAITING = 1 / 8
HALVINGS = 3  # of the rows; each is a loop that is compiled


class _Loop(NamedTuple):
  """What R rows work at, on each of S shards r = R/S of them.

  sample: [S, r], the index of a row's sample among the n of its shard; n where
    the row waits.
  length: [S, r], the tokens of that sample so far.
  next: [S], the first sample of each shard that no row has taken.
  """

  time: Array
  states: Array
  cache: Any
  sample: Array
  length: Array
  next: Array
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
  rows: int,
  shards: int = 1,
) -> Answers:
  """Generates G completions of each of P prompts, `rows` of them at a time.

  Args:
    decode_fns, tokens, mask, keys: see `decoding.generate`.
    max_length, stops, pad, distribution: see there.
    rows: R at most, a multiple of `shards`.
    shards: the number of parts that P and R are split into over devices.
  """
  (prompts, samples), length = keys.shape[:2], tokens.shape[1]
  rows = min(rows, prompts * samples)
  count, own = prompts * samples // shards, rows // shards
  least = max(1, int(own * WAITING))
  queue = keys.reshape(shards, count, *keys.shape[2:])
  prompt_states, prompt_cache = decode_fns.prefill(tokens, mask, length)
  ends = jnp.asarray(list(stops))

  def fill(loop: _Loop) -> _Loop:
    """Gives waiting rows the next samples of their shard."""
    waits = loop.sample == count
    turn = loop.next[:, None] + jnp.cumsum(waits, 1) - 1
    takes = waits & (turn < count)
    sample = jnp.where(takes, turn, loop.sample)
    prompt = jnp.minimum(sample, count - 1) // samples
    return loop._replace(
      states=jnp.where(
        takes.reshape(-1, 1), _rows(prompt_states, prompt), loop.states
      ),
      cache=decode_fns.fill(loop.cache, prompt_cache, prompt, takes),
      sample=sample,
      length=jnp.where(takes, 0, loop.length),
      next=loop.next + takes.sum(1),
    )

  def fill_if_due(loop: _Loop) -> _Loop:
    waiting, left = (loop.sample == count).sum(1), count - loop.next
    due = (left > 0) & (waiting >= jnp.minimum(left, least))
    return jax.lax.cond(due.any(), fill, lambda loop: loop, loop)

  def shrink(loop: _Loop, own: int) -> _Loop:
    """Goes on with `own` rows of each shard, those at work first."""
    order = jnp.argsort(loop.sample == count, 1)[:, :own]
    return loop._replace(
      states=_rows(loop.states, order),
      cache=decode_fns.take(loop.cache, order),
      sample=jnp.take_along_axis(loop.sample, order, 1),
      length=jnp.take_along_axis(loop.length, order, 1),
    )

  def step(loop: _Loop) -> _Loop:
    alive = loop.sample < count
    logits = decode_fns.logits(loop.states)
    own_keys = jax.vmap(lambda keys, sample: keys[sample])(
      queue, jnp.minimum(loop.sample, count - 1)
    )
    token = sample_tokens(
      distribution,
      logits,
      jax.vmap(jax.random.fold_in)(
        own_keys.reshape(-1, *queue.shape[2:]), loop.length.reshape(-1)
      ),
    )
    token = jnp.where(alive.reshape(-1), token, pad)
    value = token_log_prob(distribution, logits, token)
    stopped = alive & jnp.isin(token, ends).reshape(alive.shape)
    cache = decode_fns.seek(loop.cache, length + loop.time % max_length)
    states, cache = decode_fns.extend(token, alive.reshape(-1), cache)
    ended = stopped | (loop.length + 1 == max_length)
    return _Loop(
      time=loop.time + 1,
      states=states,
      cache=cache,
      sample=jnp.where(ended, count, loop.sample),
      length=loop.length + 1,
      next=loop.next,
      answers=_written(loop, token, value, stopped),
    )

  start = _Loop(
    time=jnp.int32(0),
    states=jnp.zeros((rows, *prompt_states.shape[1:]), prompt_states.dtype),
    cache=decode_fns.empty(prompt_cache, rows, length + max_length),
    sample=jnp.full((shards, own), count),
    length=jnp.zeros((shards, own), jnp.int32),
    next=jnp.zeros(shards, jnp.int32),
    answers=Answers(
      tokens=jnp.full((shards, count, max_length), pad, jnp.int32),
      mask=jnp.zeros((shards, count, max_length), bool),
      log_prob=jnp.zeros((shards, count, max_length)),
      ended=jnp.zeros((shards, count), bool),
    ),
  )
  sizes = [own >> i for i in range(HALVINGS + 1) if own >> i]

  def larger_than(size: int, loop: _Loop) -> Array:
    """More rows are at work than fit a batch of this size, or will be."""
    busy = (loop.sample < count).sum(1)
    return (loop.next < count).any() | (busy > size).any()

  loop = start
  for size, next_size in zip(sizes, [*sizes[1:], 0], strict=True):
    first = size == own
    loop = jax.lax.while_loop(
      partial(larger_than, next_size),
      (lambda loop: step(fill_if_due(loop))) if first else step,
      loop if first else shrink(loop, size),
    )
  return jax.tree.map(
    lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), loop.answers
  )


def _rows(array: Array, index: Array) -> Array:
  """The rows of a shard that `index` [S, r] names: [N, *] -> [S·r, *]."""
  split = array.reshape(len(index), -1, *array.shape[1:])
  chosen = jax.vmap(lambda own, i: own[i])(split, index)
  return chosen.reshape(-1, *array.shape[1:])


def _written(
  loop: _Loop, token: Array, value: Array, stopped: Array
) -> Answers:
  """Writes the tokens of this moment; those of waiting rows are dropped."""

  @jax.vmap
  def put(array: Array, sample: Array, place: Array, new: Array) -> Array:
    return array.at[sample, place].set(new, mode='drop')

  def rows(array: Array) -> Array:
    return array.reshape(loop.sample.shape)

  before, where = loop.answers, (loop.sample, loop.length)
  return Answers(
    tokens=put(before.tokens, *where, rows(token)),
    mask=put(before.mask, *where, jnp.ones_like(loop.sample, bool)),
    log_prob=put(before.log_prob, *where, rows(value)),
    ended=jax.vmap(lambda array, i, new: array.at[i].set(new, mode='drop'))(
      before.ended, loop.sample, rows(stopped)
    ),
  )
