"""Answers of a language model: one prefill, then a token at a time.

Shapes are static: prompts are padded on the left to one length, answers have
room for T tokens, and the loop ends early once every answer has.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.sampling.token_choice import Choice, choose, log_prob
from adrpo_jax.types import Array, PyTree


class DecodeFns(NamedTuple):
  """A decoder with its parameters, as a loop of sampling needs it.

  prefill: (tokens [P, L], mask [P, L], slots) -> last state [P, D], cache
  extend:  (tokens [B], alive [B], cache) -> state [B, D], cache
  logits:  (states [*, D]) -> [*, V]
  repeat:  (cache of P rows, G) -> cache of P·G rows, G of each after another
  """

  prefill: Callable[[Array, Array, int], tuple[Array, PyTree]]
  extend: Callable[[Array, Array, PyTree], tuple[Array, PyTree]]
  logits: Callable[[Array], Array]
  repeat: Callable[[PyTree, int], PyTree]


class Answers(NamedTuple):
  """Sampled tokens with their log-probabilities, the end token included.

  tokens:   [B, T], `pad` behind the end
  mask:     [B, T] bool, True up to the end
  log_prob: [B, T] float32, 0 behind the end
  ended:    [B] bool, False where T tokens were not enough
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
  longest: int,
  stops: Sequence[int],
  pad: int,
  choice: Choice,
) -> Answers:
  """G answers to each of P prompts, B = P·G rows.

  Args:
    decode_fns: the model with its parameters.
    tokens: [P, L], padded on the left.
    mask: [P, L] bool, True where a token is real.
    keys: [P, G], one for each answer; the token at t is drawn with
      fold_in(key, t), whichever rows are drawn beside it.
    longest: T, tokens of an answer at most.
    stops: tokens that end an answer, one or several.
    pad: what stands behind the end.
    choice: how a token is chosen.
  """
  prompts, samples = keys.shape[:2]
  rows = prompts * samples
  row_keys = keys.reshape(rows, *keys.shape[2:])
  state, cache = decode_fns.prefill(tokens, mask, tokens.shape[1] + longest)
  ends = jnp.asarray(list(stops))

  def step(loop: _Loop) -> _Loop:
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    logits = decode_fns.logits(loop.state)
    drawn = choose(choice, logits, fold(row_keys, loop.time))
    drawn = jnp.where(loop.alive, drawn, pad)
    told = jnp.where(loop.alive, log_prob(choice, logits, drawn), 0.0)
    over = loop.alive & jnp.isin(drawn, ends)
    kept = loop.answers
    answers = Answers(
      tokens=kept.tokens.at[:, loop.time].set(drawn),
      mask=kept.mask.at[:, loop.time].set(loop.alive),
      log_prob=kept.log_prob.at[:, loop.time].set(told),
      ended=kept.ended | over,
    )
    state, cache = decode_fns.extend(drawn, loop.alive, loop.cache)
    return _Loop(loop.time + 1, state, cache, loop.alive & ~over, answers)

  start = _Loop(
    time=jnp.int32(0),
    state=jnp.repeat(state, samples, 0),
    cache=decode_fns.repeat(cache, samples),
    alive=jnp.ones(rows, bool),
    answers=Answers(
      tokens=jnp.full((rows, longest), pad, jnp.int32),
      mask=jnp.zeros((rows, longest), bool),
      log_prob=jnp.zeros((rows, longest)),
      ended=jnp.zeros(rows, bool),
    ),
  )

  def going(loop: _Loop) -> Array:
    return (loop.time < longest) & loop.alive.any()

  return jax.lax.while_loop(going, step, start).answers
