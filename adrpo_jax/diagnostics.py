"""Diagnostics of the entries of a loss, added up over microbatches.

A diagnostic starts as entries [P, G, *]. It is reduced to totals, any two of
which can be merged, and ends as one number or a few. The result does not depend
on how microbatches split the batch.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import Array, Metrics, append_axes

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
# Between −20 and 20, dense around 0: within 3 % of a quantile above 1e-7.
_EDGES = np.geomspace(1e-8, 20.0, 192)
EDGES = np.concatenate([-_EDGES[::-1], [0.0], _EDGES]).astype(np.float32)


class Mean(NamedTuple):
  """Σ weight·value / Σ weight over the entries that count.

  Both are [P, G, *, K...]; axes beyond the entries' own are kept apart.
  """

  value: Array
  weight: Array


class Largest(NamedTuple):
  """The largest of values that are not negative, [P, G, *]."""

  value: Array


class Quantiles(NamedTuple):
  """`QUANTILES` of values [P, G, *], read off counts between `EDGES`."""

  value: Array


def totals(metrics: Mapping[str, Any], mask: Array) -> dict[str, Any]:
  """Reduces the entries of each diagnostic to its totals.

  Args:
    metrics: name -> `Mean`, `Largest`, `Quantiles`, or values [P, G, *], which
      are averaged.
    mask: [P, G, *], 1 where an entry counts, 0 where it does not.
  """
  return {name: _total(entries, mask) for name, entries in metrics.items()}


def merged(some: Mapping[str, Any], others: Mapping[str, Any]) -> Any:
  """Merges the totals of two sets of entries."""
  return {
    name: jax.tree.map(_adding(total), total, others[name])
    for name, total in some.items()
  }


def over_updates(stacked: Mapping[str, Any]) -> dict[str, Any]:
  """Merges the totals [U, ...] of U updates."""
  return {
    name: jax.tree.map(_adding(total).reduce, total)
    for name, total in stacked.items()
  }


def results(sums: Mapping[str, Any]) -> Metrics:
  """Turns totals into numbers."""
  return {name: _result(total) for name, total in sums.items()}


def _total(entries: Any, mask: Array) -> Any:
  if isinstance(entries, Largest):
    return Largest(jnp.where(mask > 0, entries.value, 0.0).max())
  if isinstance(entries, Quantiles):
    edges = EDGES.reshape((1,) * mask.ndim + (-1,))
    below = mask[..., None] * (entries.value[..., None] < edges)
    axes = tuple(range(mask.ndim))
    return Quantiles(jnp.append(below.sum(axes), mask.sum()))
  if isinstance(entries, Mean):
    weight = entries.weight * append_axes(mask, entries.weight)
    axes = tuple(range(mask.ndim))
    # An entry that does not count may hold anything.
    values = jnp.where(weight > 0, entries.value, 0.0)
    return Mean((weight * values).sum(axes), weight.sum(axes))
  return _total(Mean(entries, jnp.ones_like(mask)), mask)


def _adding(total: Any) -> Any:
  return jnp.maximum if isinstance(total, Largest) else jnp.add


def _result(total: Any) -> Array:
  if isinstance(total, Mean):
    return total.value / jnp.maximum(total.weight, 1)
  if isinstance(total, Quantiles):
    below, count = total.value[:-1], total.value[-1]
    shares = below / jnp.maximum(count, 1)
    return jnp.interp(jnp.asarray(QUANTILES), shares, jnp.asarray(EDGES))
  return total.value
