"""Aggregations: the scale of an entry in the loss of a batch.

An aggregation takes the number of entries of each sample, entries [P, G], and
valid [P, G] bool, and returns the scale [P, G] of an entry:

  loss = Σ_{p,g} scale[p, g] · Σ_entries of (p, g)

It is computed for the whole batch, so that the number of microbatches does not
change it. An invalid sample has scale 0. For images all aggregations agree; for
language they differ in the weight of a long completion.
"""

from collections.abc import Callable

import jax.numpy as jnp

from adrpo_jax.types import Array

Aggregation = Callable[[Array, Array], Array]


def sample_mean(entries: Array, valid: Array) -> Array:
  """Returns the scale of a mean over samples of the mean over entries. [P, G]

  It is GRPO's: a token of a long completion has a smaller weight. Shao et al.,
  2024, arXiv:2402.03300.
  """
  return _over(valid, jnp.maximum(entries, 1) * _count(valid))


def entry_mean(entries: Array, valid: Array) -> Array:
  """Returns the scale of a mean over all entries of the batch. [P, G]

  It is DAPO's: all tokens have the same weight. Yu et al., 2025,
  arXiv:2503.14476.

  Example:
    >>> entry_mean(jnp.array([[6, 2]]), jnp.array([[True, True]]))
    Array([[0.125, 0.125]], dtype=float32)
  """
  total = jnp.sum(jnp.where(valid, entries, 0))
  return _over(valid, jnp.maximum(total, 1))


def constant_length(longest: int) -> Aggregation:
  """Returns the scale of a sum over entries divided by the largest length.

  It is Dr. GRPO's: the weight of a token does not depend on any length. Liu et
  al., 2025, arXiv:2503.20783.

  Raises:
    ValueError: the largest length is below 1.
  """
  if longest < 1:
    raise ValueError(
      'Expected max_completion_length above 0 for the aggregation '
      f"'constant_length', which divides by it, got {longest}."
    )
  return lambda entries, valid: _over(valid, longest * _count(valid))


def _over(valid: Array, denominator: Array) -> Array:
  return jnp.where(valid, 1.0 / denominator, 0.0).astype(jnp.float32)


def _count(valid: Array) -> Array:
  return jnp.maximum(valid.sum(), 1)
