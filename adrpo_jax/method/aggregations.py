"""What an entry of a sample counts for in the loss of a batch.

An aggregation takes (entries [P, G], valid [P, G] bool), how many entries each
sample has and which samples count, and returns the scale [P, G] of an entry:

  loss = Σ_{p,g} scale[p, g] · Σ_entries of (p, g)

It looks at the whole batch, before microbatches, so their size changes nothing.
An invalid sample has scale 0. For images all agree; for language they differ in
what a long answer weighs.
"""

from collections.abc import Callable

import jax.numpy as jnp

from adrpo_jax.types import Array

Aggregation = Callable[[Array, Array], Array]


def sample_mean(entries: Array, valid: Array) -> Array:
  """The mean over samples of the mean over their entries. -> [P, G]

  GRPO's: a token of a long answer weighs less. Shao et al., 2024,
  arXiv:2402.03300.
  """
  return _over(valid, jnp.maximum(entries, 1) * _count(valid))


def entry_mean(entries: Array, valid: Array) -> Array:
  """The mean over all entries of the batch: all weigh the same. -> [P, G]

  DAPO's. Yu et al., 2025, arXiv:2503.14476.

  Example:
    >>> entry_mean(jnp.array([[6, 2]]), jnp.array([[True, True]]))
    Array([[0.125, 0.125]], dtype=float32)
  """
  total = jnp.sum(jnp.where(valid, entries, 0))
  return _over(valid, jnp.maximum(total, 1))


def constant_length(longest: int) -> Aggregation:
  """The sum over entries, over the longest possible, averaged over samples.

  Dr. GRPO's: no length is favored, whatever the others are. Liu et al., 2025,
  arXiv:2503.20783.
  """
  return lambda entries, valid: _over(valid, longest * _count(valid))


def _over(valid: Array, denominator: Array) -> Array:
  return jnp.where(valid, 1.0 / denominator, 0.0).astype(jnp.float32)


def _count(valid: Array) -> Array:
  return jnp.maximum(valid.sum(), 1)
