"""Log-probabilities of tokens from a decoder's last states.

One function makes logits, for sampling and for training alike. Logits of a
whole batch, [B, T, V], are the largest array of a language model's step: they
are made a few positions at a time, and made again in the backward pass.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array, PyTree

# (logits [*, V], tokens [*]) -> a pytree of [*]
Told = Callable[[Array, Array], PyTree]


class LogProbs(NamedTuple):
  """What a model says of given tokens, float32.

  log_probs: log p(token), [*]
  entropy:   −Σ p·log p over the vocabulary, in nats, [*]
  """

  log_probs: Array
  entropy: Array


def logits(hidden: Array, embedding: Array) -> Array:
  """hidden [*, D] · embedding [V, D]ᵀ -> [*, V], float32.

  Products are of the dtype of `hidden`, their sums float32.
  """
  return jnp.einsum(
    '...d,vd->...v',
    hidden,
    embedding.astype(hidden.dtype),
    preferred_element_type=jnp.float32,
  )


def of_softmax(scores: Array, tokens: Array) -> LogProbs:
  """Of the plain distribution, softmax(scores). [*, V], [*] -> [*]"""
  total = jax.nn.logsumexp(scores, -1)
  chosen = jnp.take_along_axis(scores, tokens[..., None], -1)[..., 0]
  mean = jnp.sum(jax.nn.softmax(scores, -1) * scores, -1)
  return LogProbs(chosen - total, total - mean)


def log_probs(
  hidden: Array, embedding: Array, tokens: Array, *, told: Told = of_softmax
) -> PyTree:
  """The direct form, with all logits at once; arguments as in the chunked."""
  return told(logits(hidden, embedding), tokens)


def chunked_log_probs(
  hidden: Array,
  embedding: Array,
  tokens: Array,
  *,
  chunk: int,
  told: Told = of_softmax,
) -> PyTree:
  """Log-probs of tokens and entropies, without an array [B, T, V].

  The largest array, forwards and backwards, is [B, chunk, V].

  Args:
    hidden: [B, T, D]; the state at t is that from which token t is drawn.
    embedding: [V, D], of the output (see `decoder.output_embedding`). Without
      the rows of ids that the tokenizer lacks, where sampling leaves them out.
    tokens: [B, T], in 0 … V−1.
    chunk: positions at a time; T need not be a multiple of it.
    told: what is wanted of logits and tokens; `LogProbs` unless given.
  """
  return by_chunks(
    lambda states, chosen: told(logits(states, embedding), chosen),
    chunk,
    hidden,
    tokens,
  )


def chunked_kl(
  hidden: Array,
  embedding: Array,
  anchor_hidden: Array,
  anchor_embedding: Array,
  *,
  chunk: int,
) -> Array:
  """KL(π‖π_anchor) = Σ_v π log(π/π_anchor) at every position. -> [B, T]

  Of plain distributions; arguments as in `chunked_log_probs`, of both models.
  """

  def part(own: Array, other: Array) -> Array:
    log_p = jax.nn.log_softmax(logits(own, embedding), -1)
    log_q = jax.nn.log_softmax(logits(other, anchor_embedding), -1)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), -1)

  return by_chunks(part, chunk, hidden, anchor_hidden)


def by_chunks(
  function: Callable[..., PyTree], chunk: int, *arrays: Array
) -> PyTree:
  """function(*arrays) for arrays [B, T, ...], `chunk` positions at a time.

  It is given rows [B·chunk, ...], and what it makes of them, [B·chunk], is not
  kept but made again backwards. Parts are even: with a chunk of 128, 130
  positions are two parts of 65.
  """
  batch, length = arrays[0].shape[:2]
  count = -(-length // chunk)
  chunk = -(-length // count)

  def parts(array: Array) -> Array:
    filled = ((0, 0), (0, count * chunk - length)) + ((0, 0),) * (
      array.ndim - 2
    )
    array = jnp.pad(array, filled).reshape(
      batch, count, chunk, *array.shape[2:]
    )
    return array.swapaxes(0, 1).reshape(count, -1, *array.shape[3:])

  rows = tuple(parts(array) for array in arrays)
  if count == 1:  # Backwards it would be there at once again.
    made = jax.tree.map(
      lambda leaf: leaf[None], function(*(array[0] for array in rows))
    )
  else:
    made = jax.lax.map(jax.checkpoint(lambda part: function(*part)), rows)
  return jax.tree.map(
    lambda leaf: (
      leaf.reshape(count, batch, -1)
      .swapaxes(0, 1)
      .reshape(batch, -1)[:, :length]
    ),
    made,
  )
