"""Products of float32 arrays, with operands rounded to bfloat16 on request.

Under `in_bfloat16` the operands of a product are rounded to bfloat16; products
are summed in float32, and the result stays float32. That is what a TPU does
with float32 by default, and faster on processors whose matrix units read
bfloat16 (AMX). XLA does it on a CPU in no other way: it ignores or refuses the
precisions of `jax.default_matmul_precision` there.
"""

from collections.abc import Callable, Iterator
import contextlib
from contextvars import ContextVar
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from adrpo_jax.types import Array

_ROUNDS = ContextVar('rounds', default=False)


@contextlib.contextmanager
def in_bfloat16() -> Iterator[None]:
  """Rounds the operands of the products that are traced inside.

  The products of their backward pass are rounded too, wherever it is traced.
  """
  before = _ROUNDS.set(True)
  try:
    yield
  finally:
    _ROUNDS.reset(before)


def matmul(a: Array, b: Array) -> Array:
  """a·b of two matrices, as `einsum` computes it."""
  return einsum('nd,df->nf', a, b)


def einsum(
  spec: str, a: Array, b: Array, preferred_element_type: Any = None
) -> Array:
  """Computes Σ a·b as `jnp.einsum` does, of two arrays.

  Args:
    spec: such as '...d,df->...f'. Each letter of an operand must be in the
      other operand or in the result, and `b` has no ellipsis.
    a, b: the operands.
    preferred_element_type: of the result; by default that of the operands.
  """
  if not rounds(a, b):
    return jnp.einsum(spec, a, b, preferred_element_type=preferred_element_type)
  named = spec.partition(',')[0].replace('...', '')
  leading = 'ABCDEFGH'[: a.ndim - len(named)]
  return _rounded_einsum(spec.replace('...', leading), a, b)


def convolution(
  rows: Array, kernel: Array, *settings: Any, **named: Any
) -> Array:
  """Computes `jax.lax.conv_general_dilated`; its gradients are of float32."""

  def exact(rows: Array, kernel: Array, dtype: Any = None) -> Array:
    convolve: Callable[..., Array] = jax.lax.conv_general_dilated
    return convolve(
      rows, kernel, *settings, preferred_element_type=dtype, **named
    )

  if not rounds(rows, kernel):
    return exact(rows, kernel)

  @jax.custom_vjp
  def rounded(rows: Array, kernel: Array) -> Array:
    halves = _rounded(rows), _rounded(kernel)
    return exact(*halves, jnp.float32)

  rounded.defvjp(
    lambda *operands: (rounded(*operands), operands),
    lambda operands, gradient: jax.vjp(exact, *operands)[1](gradient),
  )
  return rounded(rows, kernel)


def rounds(*operands: Array) -> bool:
  """Returns True where a product of these arrays is to be rounded here."""
  float32 = all(operand.dtype == jnp.float32 for operand in operands)
  return float32 and _ROUNDS.get()


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rounded_einsum(spec: str, a: Array, b: Array) -> Array:
  return jnp.einsum(
    spec, *map(_rounded, (a, b)), preferred_element_type=jnp.float32
  )


def _forward(spec: str, a: Array, b: Array) -> tuple[Array, tuple]:
  a, b = _rounded(a), _rounded(b)
  return _rounded_einsum(spec, a, b), (a, b)


def _backward(spec: str, operands: tuple, gradient: Array) -> tuple:
  """The gradients of both operands, each an einsum of the other."""
  (a, b), (inputs, result) = operands, spec.split('->')
  of_a, of_b = inputs.split(',')
  return (
    _rounded_einsum(f'{result},{of_b}->{of_a}', gradient, b),
    _rounded_einsum(f'{of_a},{result}->{of_b}', a, gradient),
  )


_rounded_einsum.defvjp(_forward, _backward)


def _rounded(array: Array) -> Array:
  return array.astype(jnp.bfloat16)
