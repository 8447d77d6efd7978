"""Random arrays of given shapes, made on the device that they are for."""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp

SCALE = 0.02


def random_arrays(shapes: Any, scale: float = SCALE) -> Any:
  """A tree of arrays with the shapes, dtypes and shardings of `shapes`.

  Floats are normal with standard deviation `scale`, and zero for a scale of 0;
  integers are zero, booleans true, and keys are all one key. No file is read,
  and nothing passes through the host.
  """
  leaves, structure = jax.tree.flatten(shapes)
  arrays = [
    _filler(leaf.shape, leaf.dtype, leaf.sharding)(jax.random.key(i), scale)
    for i, leaf in enumerate(leaves)
  ]
  return jax.tree.unflatten(structure, arrays)


@functools.cache
def _filler(
  shape: tuple[int, ...], dtype: Any, sharding: Any
) -> Callable[[jax.Array, float], jax.Array]:
  """(key, scale) -> one array, compiled once for each shape."""

  def fill(key: jax.Array, scale: jax.Array) -> jax.Array:
    if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
      return key
    if jnp.issubdtype(dtype, jnp.floating):
      return (scale * jax.random.normal(key, shape, dtype)).astype(dtype)
    return jnp.full(shape, dtype == jnp.bool_, dtype)

  return jax.jit(fill, out_shardings=sharding)
