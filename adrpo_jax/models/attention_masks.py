"""Which positions of a row attend to which.

A row is a sequence, or a prefix with branches that each continue it:

  [prefix, L positions | branch 0, T positions | branch 1, T positions | ...]

A branch attends to the prefix and to itself, so that a prefix is computed once
for all of its branches.
"""

from collections.abc import Callable
import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array


class Causal(NamedTuple):
  """A causal mask: a position attends to the real positions up to itself.

  token_mask: [B, L] bool, True for real positions. The output at the other
    positions has no meaning.
  """

  token_mask: Array


@dataclasses.dataclass(frozen=True)
class Branches:
  """The layout of a row of prefix + count·length positions."""

  prefix: int
  count: int
  length: int

  def attends(self, query: Any, key: Any) -> Any:
    """Returns True where the position `query` attends to the position `key`.

    Both are integer arrays, of numpy or JAX, that broadcast.
    """
    own = self._branch(query) == self._branch(key)
    return (key <= query) & (own | (key < self.prefix))

  def each(self, array: Array) -> Array:
    """The branches: [B, prefix + count·length, *] -> [B·count, length, *]."""
    tail = array[:, self.prefix :]
    return tail.reshape(-1, self.length, *array.shape[2:])

  def continued(self, array: Array) -> Array:
    """The branches, each behind its prefix: -> [B·count, prefix + length, *]"""
    start = jnp.repeat(array[:, : self.prefix], self.count, 0)
    return jnp.concatenate([start, self.each(array)], 1)

  def _branch(self, position: Any) -> Any:
    return (position - self.prefix) // self.length


@partial(
  jax.tree_util.register_dataclass,
  data_fields=['token_mask'],
  meta_fields=['branches'],
)
@dataclasses.dataclass(frozen=True)
class Branching:
  """A causal mask of rows with branches.

  token_mask: [B, prefix + count·length] bool, True for real positions.
  branches: their layout.
  """

  token_mask: Any
  branches: Branches


Mask = Array | Causal | Branching | None


def mask_array(mask: Array | Causal | None) -> Array | None:
  """Returns the mask as an array; None stays None."""
  if not isinstance(mask, Causal):
    return mask
  length = mask.token_mask.shape[1]
  causal = jnp.tril(jnp.ones((length, length), bool))
  return (causal[None] & mask.token_mask[:, None].astype(bool))[:, None]


def attend_by_branch(
  attention: Callable[..., Array],
  query: Array,
  key: Array,
  value: Array,
  mask: Branching,
) -> Array:
  """Computes attention of the prefixes, then that of each branch.

  `length` queries of a branch meet prefix + length keys. No score between two
  branches is computed.

  Args:
    attention: an `attention.Attention` for causal masks and for arrays.
    query, key, value: [B, prefix + count·length, heads, d].
    mask: which of these positions are real.
  """
  branches = mask.branches
  prefix, length = branches.prefix, branches.length
  first = attention(
    *(array[:, :prefix] for array in (query, key, value)),
    Causal(mask.token_mask[:, :prefix]),
  )
  causal = jnp.tril(jnp.ones((length, prefix + length), bool), prefix)
  real = branches.continued(mask.token_mask.astype(bool))
  rest = attention(
    branches.each(query),
    branches.continued(key),
    branches.continued(value),
    (causal[None] & real[:, None])[:, None],
  )
  rest = rest.reshape(len(query), -1, rest.shape[-1])
  return jnp.concatenate([first, rest], 1)
