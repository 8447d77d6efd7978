"""Log-probabilities of tokens from a decoder's last states.

One function makes logits, for sampling and for training alike. Logits of a
whole batch, [B, T, V], are the largest array of a language model's step: they
are made a few positions at a time, and made again in the backward pass.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array


class LogProbs(NamedTuple):
  """What a model says of given tokens, float32.

  log_probs: log p(token), [B, T]
  entropy:   −Σ p·log p over the vocabulary, in nats, [B, T]
  """

  log_probs: Array
  entropy: Array


def logits(hidden: Array, embedding: Array, temperature: float = 1.0) -> Array:
  """hidden [*, D] · embedding [V, D]ᵀ / temperature -> [*, V], float32.

  Products are of the dtype of `hidden`, their sums float32.
  """
  return (
    jnp.einsum(
      '...d,vd->...v',
      hidden,
      embedding.astype(hidden.dtype),
      preferred_element_type=jnp.float32,
    )
    / temperature
  )


def log_probs(
  hidden: Array, embedding: Array, tokens: Array, *, temperature: float = 1.0
) -> LogProbs:
  """The direct form, with all logits at once; arguments as in the chunked."""
  scores = logits(hidden, embedding, temperature)
  total = jax.nn.logsumexp(scores, -1)
  chosen = jnp.take_along_axis(scores, tokens[..., None], -1)[..., 0]
  mean = jnp.sum(jax.nn.softmax(scores, -1) * scores, -1)
  return LogProbs(chosen - total, total - mean)


def chunked_log_probs(
  hidden: Array,
  embedding: Array,
  tokens: Array,
  *,
  chunk: int,
  temperature: float = 1.0,
) -> LogProbs:
  """Log-probs of tokens and entropies, without an array [B, T, V].

  The largest array, forwards and backwards, is [B, chunk, V].

  Args:
    hidden: [B, T, D]; the state at t is that from which token t is drawn.
    embedding: [V, D], of the output (see `decoder.output_embedding`). Without
      the rows of ids that the tokeniser lacks, where sampling leaves them out.
    tokens: [B, T], in 0 … V−1.
    chunk: positions at a time; T need not be a multiple of it.
    temperature: logits are divided by it.
  """
  batch, length = tokens.shape
  count = -(-length // chunk)
  filled = count * chunk - length
  hidden = jnp.pad(hidden, ((0, 0), (0, filled), (0, 0)))
  tokens = jnp.pad(tokens, ((0, 0), (0, filled)))

  @jax.checkpoint
  def part(rows: tuple[Array, Array]) -> LogProbs:
    return log_probs(rows[0], embedding, rows[1], temperature=temperature)

  parts = jax.lax.map(
    part,
    (
      hidden.reshape(batch, count, chunk, -1).swapaxes(0, 1),
      tokens.reshape(batch, count, chunk).swapaxes(0, 1),
    ),
  )
  return jax.tree.map(
    lambda leaf: leaf.swapaxes(0, 1).reshape(batch, -1)[:, :length], parts
  )
