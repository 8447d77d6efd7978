"""Log-probabilities of tokens, computed from a decoder's last states.

One function makes the logits, for sampling and for training alike. The logits
of a whole batch, [B, T, V], are the largest array of a language model's step.
They are therefore computed for a few positions at a time, and once more in the
backward pass.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.models import products
from adrpo_jax.types import Array, PyTree

# (states [*, D], output embedding [V, D]) -> logits [*, V]
Head = Callable[[Array, Array], Array]
# A logit with probability 0 in float32, at any temperature, but finite: the
# product of probability and logit in an entropy stays 0.
NEVER = -1e20
# (logits [*, V], tokens [*]) -> a pytree of [*]
PerToken = Callable[[Array, Array], PyTree]


class LogProbs(NamedTuple):
  """The probability that a model gives to tokens, float32.

  log_probs: log p(token), [*]
  entropy:   −Σ p·log p over the vocabulary, in nats, [*]
  """

  log_probs: Array
  entropy: Array


def logits(hidden: Array, embedding: Array) -> Array:
  """hidden [*, D] · embedding [V, D]ᵀ -> [*, V], float32.

  Products have the dtype of `hidden`; they are summed in float32.
  """
  return products.einsum(
    '...d,vd->...v',
    hidden,
    embedding.astype(hidden.dtype),
    preferred_element_type=jnp.float32,
  )


def logits_of_known(known: np.ndarray) -> Head:
  """Makes `logits` of a vocabulary with rows that no token has.

  Tables of released models are longer than their vocabulary. The rows behind
  it are not trained, and could be drawn.

  Args:
    known: [V] bool, the rows that a token has.
  """

  def head(hidden: Array, embedding: Array) -> Array:
    return jnp.where(known, logits(hidden, embedding), NEVER)

  return head


def softmax_log_probs(scores: Array, tokens: Array) -> LogProbs:
  """`LogProbs` of the distribution softmax(scores): [*, V], [*] -> [*]."""
  total = jax.nn.logsumexp(scores, -1)
  chosen = jnp.take_along_axis(scores, tokens[..., None], -1)[..., 0]
  mean = jnp.sum(jax.nn.softmax(scores, -1) * scores, -1)
  return LogProbs(chosen - total, total - mean)


def log_probs(
  hidden: Array,
  embedding: Array,
  tokens: Array,
  *,
  log_prob_and_entropy: PerToken = softmax_log_probs,
) -> PyTree:
  """Computes all logits at once; arguments as in `chunked_log_probs`."""
  return log_prob_and_entropy(logits(hidden, embedding), tokens)


def chunked_log_probs(
  hidden: Array,
  embedding: Array,
  tokens: Array,
  *,
  chunk: int,
  head: Head = logits,
  log_prob_and_entropy: PerToken = softmax_log_probs,
) -> PyTree:
  """Log-probabilities of tokens and entropies, without an array [B, T, V].

  The largest array, in the forward and in the backward pass, is [B, chunk, V].

  Args:
    hidden: [B, T, D]; token t is sampled from the state at t.
    embedding: [V, D], the output embedding (see `decoder.output_embedding`).
    tokens: [B, T], in 0 … V−1.
    chunk: positions at a time; it need not divide T.
    head: makes the logits, for sampling too.
    log_prob_and_entropy: what to compute from logits and tokens; by default
      `LogProbs` of the softmax.
  """
  return map_chunks(
    lambda states, part: log_prob_and_entropy(head(states, embedding), part),
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
  head: Head = logits,
) -> Array:
  """KL(π‖π_anchor) = Σ_v π log(π/π_anchor) at every position. -> [B, T]

  Both distributions are the plain softmax. The arguments are those of
  `chunked_log_probs`, for each of the two models.
  """

  def kl(policy: Array, anchor: Array) -> Array:
    log_p = jax.nn.log_softmax(head(policy, embedding), -1)
    log_q = jax.nn.log_softmax(head(anchor, anchor_embedding), -1)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), -1)

  return map_chunks(kl, chunk, hidden, anchor_hidden)


def map_chunks(
  function: Callable[..., PyTree], chunk: int, *arrays: Array
) -> PyTree:
  """function(*arrays) for arrays [B, T, ...], `chunk` positions at a time.

  The function receives rows [B·chunk, ...] and returns leaves [B·chunk]. What
  it computes on the way is not saved but computed again in the backward pass.
  Chunks have one size: with a chunk of 128, 130 positions are two chunks of 65.
  """
  batch, length = arrays[0].shape[:2]
  count = -(-length // chunk)
  chunk = -(-length // count)

  def split(array: Array) -> Array:
    padding = ((0, 0), (0, count * chunk - length)) + ((0, 0),) * (
      array.ndim - 2
    )
    array = jnp.pad(array, padding).reshape(
      batch, count, chunk, *array.shape[2:]
    )
    return array.swapaxes(0, 1).reshape(count, -1, *array.shape[3:])

  chunks = tuple(split(array) for array in arrays)
  if count == 1:  # The backward pass would recompute it at once for nothing.
    results = jax.tree.map(
      lambda leaf: leaf[None], function(*(array[0] for array in chunks))
    )
  else:
    results = jax.lax.map(jax.checkpoint(lambda part: function(*part)), chunks)
  return jax.tree.map(
    lambda leaf: (
      leaf.reshape(count, batch, -1)
      .swapaxes(0, 1)
      .reshape(batch, -1)[:, :length]
    ),
    results,
  )
