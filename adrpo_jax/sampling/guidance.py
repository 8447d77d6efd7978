"""Classifier-free guidance as a wrapper of the velocity function."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array, PyTree

Velocity: TypeAlias = Callable[[PyTree, Array, Array, PyTree], Array]


def check_scale(scale: float) -> None:
  """Raises ValueError if `scale` is below 1 (1 is no guidance)."""
  if not scale >= 1:
    raise ValueError(
      f'Expected a guidance scale of 1 or more, got {scale}. Set it to 1 '
      'for the plain conditional model.'
    )


def guided(velocity: Velocity, scale: float, null_condition: PyTree):
  """Returns the guided velocity v = v_null + w·(v_text − v_null).

  Both branches run in one call of the model. The two rows of a sample are
  neighbors in the batch ([B] -> [2B] as null, text, null, ...), so that a
  sharded batch needs no communication.

  Args:
    velocity: (params, x [B, *D], sigma [B], condition [B, ...]) -> [B, *D].
    scale: w, a Python float. At 1 `velocity` itself is returned.
    null_condition: the condition of the empty prompt, without a batch axis.

  Returns:
    A function with the arguments of `velocity`.

  Raises:
    ValueError: the scale is below 1, or above 1 without a null condition.
  """
  check_scale(scale)
  if scale == 1:
    return velocity
  if null_condition is None:
    raise ValueError(
      f"Expected frozen['null_condition'] for guidance scale {scale}, got "
      'None. Pass the encoded empty prompt, or set the scale to 1.'
    )

  def guided_velocity(params, x, sigma, condition):
    paired = jax.tree.map(_interleave, null_condition, condition)
    both = velocity(params, _twice(x), _twice(sigma), paired)
    null, text = jnp.moveaxis(
      both.reshape(x.shape[:1] + (2,) + x.shape[1:]), 1, 0
    )
    return null + scale * (text - null)

  return guided_velocity


def _twice(x):
  return jnp.repeat(x, 2, axis=0)


def _interleave(null, text):
  null = jnp.broadcast_to(null[None], text.shape)
  pairs = jnp.stack([null, text], axis=1)
  return pairs.reshape((-1,) + text.shape[1:])
