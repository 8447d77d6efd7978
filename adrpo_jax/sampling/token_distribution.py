"""Samples the next token from logits: temperature, top-k, top-p.

A filter is a function (logits [*, V]) -> [*, V] that sets the logits of
excluded tokens to −inf. The policy that is trained is the policy that samples,
so rollout and training compute log-probabilities with one `TokenDistribution`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array

Filter = Callable[[Array], Array]

PART = 128  # tokens in one part of the vocabulary


class TokenDistribution(NamedTuple):
  """The sampling distribution p(token) ∝ exp(logit / temperature).

  Filters are applied one after the other to the logits divided by the
  temperature. Tokens that a filter excludes have probability 0.
  """

  temperature: float = 1.0
  filters: tuple[Filter, ...] = ()


def greedy() -> TokenDistribution:
  """Always chooses the most likely token, the first one of equals."""
  return TokenDistribution(filters=(keep_most_likely,))


def make_token_distribution(
  temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> TokenDistribution:
  """Makes a choice of the three usual settings.

  top_k = 0 and top_p = 1 exclude no token.

  Raises:
    ValueError: the temperature is not positive, or top_k or top_p is out of
      range.
  """
  if not temperature > 0:
    raise ValueError(
      f'Expected a temperature above 0, got {temperature}. For the '
      'most likely completion use greedy decoding with one sample per prompt.'
    )
  if top_k < 0 or not 0 < top_p <= 1:
    raise ValueError(
      f'Expected top_k of 0 (all) or more and 0 < top_p <= 1, got '
      f'top_k={top_k} and top_p={top_p}.'
    )
  filters: list[Filter] = []
  if top_k:
    filters.append(keep_top_k(top_k))
  if top_p < 1:
    filters.append(keep_top_p(top_p))
  return TokenDistribution(temperature, tuple(filters))


def keep_top_k(k: int) -> Filter:
  """Keeps the k largest logits, and all that equal the smallest of them."""

  def filtered(logits: Array) -> Array:
    count = min(k, logits.shape[-1])
    last = jax.lax.top_k(logits, count)[0][..., -1:]
    return jnp.where(logits >= last, logits, -jnp.inf)

  return filtered


def keep_top_p(p: float) -> Filter:
  """Keeps the fewest most likely tokens whose probabilities add up to p.

  Holtzman et al., 2020, arXiv:1904.09751.
  """

  def filtered(logits: Array) -> Array:
    ordered = jnp.sort(logits, axis=-1, descending=True)
    probability = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(probability, -1) - probability
    last = jnp.where(before < p, ordered, jnp.inf).min(-1, keepdims=True)
    return jnp.where(logits >= last, logits, -jnp.inf)

  return filtered


def keep_most_likely(logits: Array) -> Array:
  """Keeps only the largest logit, the first one of equals."""
  best = jnp.argmax(logits, -1)
  chosen = jax.nn.one_hot(best, logits.shape[-1], dtype=bool)
  return jnp.where(chosen, logits, -jnp.inf)


def sample_tokens(
  distribution: TokenDistribution, logits: Array, keys: Array
) -> Array:
  """Samples a token for each row with the key of the row. [B, V], [B] -> [B]

  It draws one uniform number per row and returns the token at which the
  cumulative probability exceeds it. It searches the parts of the vocabulary
  first, then the tokens of one part. `jax.random.categorical`, the maximum of
  noisy logits, would draw V numbers per row.
  """
  rows = logits.shape[0]
  filtered = _filtered_logits(distribution, logits)
  likelihood = jnp.exp(filtered - filtered.max(-1, keepdims=True))
  room = -likelihood.shape[1] % PART
  parts = jnp.pad(likelihood, ((0, 0), (0, room))).reshape(rows, -1, PART)
  sums = parts.sum(-1)
  uniform = jax.vmap(jax.random.uniform)(keys) * sums.sum(-1)
  part, rest = _search(sums, uniform)
  inside = jnp.take_along_axis(parts, part[:, None, None], 1)[:, 0]
  token = part * PART + _search(inside, rest)[0]
  return jnp.minimum(token, logits.shape[1] - 1)  # For logits that are NaN.


def _search(likelihood: Array, level: Array) -> tuple[Array, Array]:
  """Finds the entry at which the cumulative sum exceeds a level.

  likelihood [B, N], level [B] -> index [B], and the rest of the level within
  that entry [B]. The entry never has likelihood 0, however sums are rounded.
  """
  below = jnp.cumsum(likelihood, -1) - likelihood
  reached = (likelihood > 0) & (below <= level[:, None])
  last = likelihood.shape[1] - 1 - jnp.argmax(reached[:, ::-1], -1)
  return last, level - jnp.take_along_axis(below, last[:, None], -1)[:, 0]


def token_log_prob(
  distribution: TokenDistribution, logits: Array, tokens: Array
) -> Array:
  """Returns log p(token) in float32. [*, V], [*] -> [*]

  If a filter excludes a sampled token under the trained policy, the token still
  counts as allowed, so that its probability is small but not zero.
  """
  divided = logits.astype(jnp.float32) / distribution.temperature
  allowed = None
  if distribution.filters:
    filtered = _filtered_logits(distribution, logits)
    allowed = jax.lax.stop_gradient(jnp.isfinite(filtered))
    allowed |= jax.nn.one_hot(tokens, logits.shape[-1], dtype=bool)
  chosen = jnp.take_along_axis(divided, tokens[..., None], -1)[..., 0]
  return chosen - jax.nn.logsumexp(divided, -1, where=allowed)


def log_prob_and_entropy(
  distribution: TokenDistribution, logits: Array, tokens: Array
) -> tuple[Array, Array]:
  """log p(token) and the entropy of each distribution. [*, V], [*] -> [*], [*]

  The entropy, in nats, is that of the divided logits without filters, since
  this is the distribution that the policy has learned.
  """
  divided = logits.astype(jnp.float32) / distribution.temperature
  mean = jnp.sum(jax.nn.softmax(divided, -1) * divided, -1)
  entropy = jax.nn.logsumexp(divided, -1) - mean
  return token_log_prob(distribution, logits, tokens), entropy


def _filtered_logits(distribution: TokenDistribution, logits: Array) -> Array:
  filtered = logits.astype(jnp.float32) / distribution.temperature
  for apply in distribution.filters:
    filtered = apply(filtered)
  return filtered
