"""A small train state that is a function of its step, for tests of saving."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adrpo_jax.types import Array, PyTree, TrainState


def made_state(step: Array | int, width: int = 64) -> TrainState:
  """Kernels, a bias, Adam moments, bfloat16, None and empty subtrees.

  Random bits turned to floats: the same on any mesh, whatever XLA fuses.
  """
  params = {
    'to_q': {'kernel': jnp.zeros((width, 2 * width)), 'bias': jnp.zeros(3)},
    'to_out': {'kernel': jnp.zeros((2 * width, width), jnp.bfloat16)},
  }
  raw_key = jax.random.key_data(_key(step))
  state = TrainState(
    step=jnp.asarray(step, jnp.int32),
    params=params,
    optimizer=optax.chain(optax.clip(1.0), optax.adam(0.1)).init(params),
    transform=(
      optax.EmptyState(),
      {'raw_key': raw_key},
    ),
    ema=None,
    old=params,
    averaged=None,
  )
  leaves, structure = jax.tree.flatten(state)
  for i, leaf in enumerate(leaves):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      key = jax.random.fold_in(_key(step), i)
      leaves[i] = jax.random.uniform(key, leaf.shape, leaf.dtype)
  return jax.tree.unflatten(structure, leaves)


def _key(step: Array | int) -> Array:
  return jax.random.fold_in(jax.random.key(7), step)


def assert_same_bits(got: PyTree, expected: PyTree) -> None:
  """Same structure, dtypes and values, to the last bit."""
  assert jax.tree.structure(got) == jax.tree.structure(expected)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
    assert a.dtype == b.dtype
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
