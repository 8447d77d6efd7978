"""How the next token is chosen of logits: temperature, top-k, top-p.

A filter is a function (logits [*, V]) -> [*, V] that puts −inf where a token
may not be chosen. The policy that samples is the policy that is trained: the
same choice makes the log-probabilities of rollout and training.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array

Filter = Callable[[Array], Array]

PART = 128  # tokens of a part of the vocabulary


class Choice(NamedTuple):
  """p(token) ∝ exp(logit / temperature) over what all filters leave.

  Filters are applied one after the other to the divided logits.
  """

  temperature: float = 1.0
  filters: tuple[Filter, ...] = ()


def greedy() -> Choice:
  """The likeliest token, the first of several."""
  return Choice(filters=(likeliest,))


def make_choice(
  temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> Choice:
  """The usual three settings; top_k = 0 and top_p = 1 leave all tokens.

  Raises:
    ValueError: a temperature that is not positive, or a filter out of range.
  """
  if not temperature > 0:
    raise ValueError(
      f'Expected a temperature above 0, got {temperature}. Take greedy '
      'decoding, of one sample to a prompt, for the likeliest answer.'
    )
  if top_k < 0 or not 0 < top_p <= 1:
    raise ValueError(
      f'Expected top_k of 0 (all) or more and 0 < top_p <= 1, got {top_k} and '
      f'{top_p}.'
    )
  filters: list[Filter] = []
  if top_k:
    filters.append(largest(top_k))
  if top_p < 1:
    filters.append(nucleus(top_p))
  return Choice(temperature, tuple(filters))


def largest(k: int) -> Filter:
  """Leaves the k largest logits, and what ties with the last of them."""

  def kept(logits: Array) -> Array:
    count = min(k, logits.shape[-1])
    last = jax.lax.top_k(logits, count)[0][..., -1:]
    return jnp.where(logits >= last, logits, -jnp.inf)

  return kept


def nucleus(p: float) -> Filter:
  """Leaves the likeliest tokens whose probabilities reach p together.

  Holtzman et al., 2020, arXiv:1904.09751.
  """

  def kept(logits: Array) -> Array:
    ordered = jnp.sort(logits, axis=-1, descending=True)
    probability = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(probability, -1) - probability
    last = jnp.where(before < p, ordered, jnp.inf).min(-1, keepdims=True)
    return jnp.where(logits >= last, logits, -jnp.inf)

  return kept


def likeliest(logits: Array) -> Array:
  """Leaves the first of the largest logits."""
  best = jnp.argmax(logits, -1)
  chosen = jax.nn.one_hot(best, logits.shape[-1], dtype=bool)
  return jnp.where(chosen, logits, -jnp.inf)


def choose(choice: Choice, logits: Array, keys: Array) -> Array:
  """A token for each row, from a key of its own. [B, V], [B] -> [B]

  By one uniform number a row, where its cumulative probability passes it: of
  parts of the vocabulary first, then of the tokens of that part. The maximum of
  noisy logits, `jax.random.categorical`, draws V numbers a row.
  """
  rows = logits.shape[0]
  left = _left(choice, logits)
  likelihood = jnp.exp(left - left.max(-1, keepdims=True))
  room = -likelihood.shape[1] % PART
  parts = jnp.pad(likelihood, ((0, 0), (0, room))).reshape(rows, -1, PART)
  sums = parts.sum(-1)
  uniform = jax.vmap(jax.random.uniform)(keys) * sums.sum(-1)
  part, rest = _passed(sums, uniform)
  inside = jnp.take_along_axis(parts, part[:, None, None], 1)[:, 0]
  token = part * PART + _passed(inside, rest)[0]
  return jnp.minimum(token, logits.shape[1] - 1)  # Should logits be NaN.


def _passed(likelihood: Array, level: Array) -> tuple[Array, Array]:
  """Where running sums pass a level. [B, N], [B] -> [B], what is left of it

  Never where the likelihood is 0, however sums are rounded.
  """
  below = jnp.cumsum(likelihood, -1) - likelihood
  reached = (likelihood > 0) & (below <= level[:, None])
  last = likelihood.shape[1] - 1 - jnp.argmax(reached[:, ::-1], -1)
  return last, level - jnp.take_along_axis(below, last[:, None], -1)[:, 0]


def log_prob(choice: Choice, logits: Array, tokens: Array) -> Array:
  """log p(token) in float32. [*, V], [*] -> [*]

  A token that was sampled counts as left, should a filter of the trained policy
  exclude it: its probability is small, and not zero.
  """
  divided = logits.astype(jnp.float32) / choice.temperature
  left = None
  if choice.filters:
    left = jax.lax.stop_gradient(jnp.isfinite(_left(choice, logits)))
    left |= jax.nn.one_hot(tokens, logits.shape[-1], dtype=bool)
  chosen = jnp.take_along_axis(divided, tokens[..., None], -1)[..., 0]
  return chosen - jax.nn.logsumexp(divided, -1, where=left)


def log_prob_and_entropy(
  choice: Choice, logits: Array, tokens: Array
) -> tuple[Array, Array]:
  """log p(token) and the entropy of each distribution. [*, V], [*] -> [*], [*]

  The entropy, in nats, is that of the divided logits without filters, since
  this is the distribution that the policy has learned.
  """
  divided = logits.astype(jnp.float32) / choice.temperature
  mean = jnp.sum(jax.nn.softmax(divided, -1) * divided, -1)
  entropy = jax.nn.logsumexp(divided, -1) - mean
  return log_prob(choice, logits, tokens), entropy


def _left(choice: Choice, logits: Array) -> Array:
  left = logits.astype(jnp.float32) / choice.temperature
  for kept in choice.filters:
    left = kept(left)
  return left
