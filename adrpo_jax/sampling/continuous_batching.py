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
import itertools
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


class _Work(NamedTuple):
  """What does not change: n samples of each of S shards, and how to draw them.

  keys: [S, n, *], of the samples.
  samples: G, of a prompt.
  states, cache: of all prompts, whose L slots come first.
  ends: the tokens that end a completion.
  """

  decode_fns: DecodeFns
  keys: Array
  samples: int
  states: Array
  cache: Any
  prompt_slots: int
  max_length: int
  ends: Array
  pad: int
  distribution: TokenDistribution

  @property
  def per_shard(self) -> int:
    """Returns n, which also stands for no sample."""
    return self.keys.shape[1]


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
  states, cache = decode_fns.prefill(tokens, mask, length)
  work = _Work(
    decode_fns,
    keys.reshape(shards, -1, *keys.shape[2:]),
    samples,
    states,
    cache,
    length,
    max_length,
    jnp.asarray(list(stops)),
    pad,
    distribution,
  )
  own = min(rows, prompts * samples) // shards
  loop = jax.lax.while_loop(
    lambda loop: _more_than(own // 2, work, loop),
    lambda loop: _step(work, _fill_if_due(work, loop)),
    _start(work, own),
  )
  sizes = [own >> i for i in range(1, HALVINGS + 1) if own >> i]
  for size, next_size in itertools.pairwise([*sizes, 0]):
    loop = jax.lax.while_loop(
      partial(_more_than, next_size, work),
      partial(_step, work),
      _shrink(work, loop, size),
    )
  return jax.tree.map(
    lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), loop.answers
  )


def _start(work: _Work, own: int) -> _Loop:
  """All rows wait, `own` of each shard."""
  shards, count = work.keys.shape[:2]
  rows, shape = shards * own, (shards, count, work.max_length)
  slots = work.prompt_slots + work.max_length
  return _Loop(
    time=jnp.int32(0),
    states=jnp.zeros((rows, *work.states.shape[1:]), work.states.dtype),
    cache=work.decode_fns.empty(work.cache, rows, slots),
    sample=jnp.full((shards, own), count),
    length=jnp.zeros((shards, own), jnp.int32),
    next=jnp.zeros(shards, jnp.int32),
    answers=Answers(
      tokens=jnp.full(shape, work.pad, jnp.int32),
      mask=jnp.zeros(shape, bool),
      log_prob=jnp.zeros(shape),
      ended=jnp.zeros(shape[:2], bool),
    ),
  )


def _more_than(size: int, work: _Work, loop: _Loop) -> Array:
  """True where more rows of a shard are at work than `size`, or will be."""
  at_work = (loop.sample < work.per_shard).sum(1)
  return (loop.next < work.per_shard).any() | (at_work > size).any()


def _fill_if_due(work: _Work, loop: _Loop) -> _Loop:
  """Fills rows where enough of a shard wait, or as many as it has samples."""
  waiting, left = (
    (loop.sample == work.per_shard).sum(1),
    work.per_shard - loop.next,
  )
  least = max(1, int(loop.sample.shape[1] * WAITING))
  due = (left > 0) & (waiting >= jnp.minimum(left, least))
  return jax.lax.cond(due.any(), partial(_fill, work), lambda loop: loop, loop)


def _fill(work: _Work, loop: _Loop) -> _Loop:
  """Gives waiting rows the next samples of their shard."""
  waits = loop.sample == work.per_shard
  turn = loop.next[:, None] + jnp.cumsum(waits, 1) - 1
  takes = waits & (turn < work.per_shard)
  sample = jnp.where(takes, turn, loop.sample)
  prompt = jnp.minimum(sample, work.per_shard - 1) // work.samples
  return loop._replace(
    states=jnp.where(
      takes.reshape(-1, 1), _rows(work.states, prompt), loop.states
    ),
    cache=work.decode_fns.fill(loop.cache, work.cache, prompt, takes),
    sample=sample,
    length=jnp.where(takes, 0, loop.length),
    next=loop.next + takes.sum(1),
  )


def _shrink(work: _Work, loop: _Loop, own: int) -> _Loop:
  """Goes on with `own` rows of each shard, those at work first."""
  order = jnp.argsort(loop.sample == work.per_shard, 1)[:, :own]
  return loop._replace(
    states=_rows(loop.states, order),
    cache=work.decode_fns.take(loop.cache, order),
    sample=jnp.take_along_axis(loop.sample, order, 1),
    length=jnp.take_along_axis(loop.length, order, 1),
  )


def _step(work: _Work, loop: _Loop) -> _Loop:
  """Draws a token for each row at work."""
  alive = loop.sample < work.per_shard
  logits = work.decode_fns.logits(loop.states)
  keys = jax.vmap(jax.random.fold_in)(
    _rows(
      work.keys.reshape(-1, *work.keys.shape[2:]),
      jnp.minimum(loop.sample, work.per_shard - 1),
    ),
    loop.length.reshape(-1),
  )
  token = sample_tokens(work.distribution, logits, keys)
  token = jnp.where(alive.reshape(-1), token, work.pad)
  value = token_log_prob(work.distribution, logits, token)
  stopped = alive & jnp.isin(token, work.ends).reshape(alive.shape)
  slot = work.prompt_slots + loop.time % work.max_length
  states, cache = work.decode_fns.extend(
    token, alive.reshape(-1), work.decode_fns.seek(loop.cache, slot)
  )
  ended = stopped | (loop.length + 1 == work.max_length)
  return _Loop(
    time=loop.time + 1,
    states=states,
    cache=cache,
    sample=jnp.where(ended, work.per_shard, loop.sample),
    length=loop.length + 1,
    next=loop.next,
    answers=_written(loop, token, value, stopped),
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
