"""Products in bfloat16: rounded operands, sums and results in float32."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models import attention, products
from adrpo_jax.models.attention_masks import Causal
from adrpo_jax.models.decoder.log_probs import logits
from adrpo_jax.models.layers import Linear

HALF_ULP = 2.0**-9  # of bfloat16, relative


def drawn(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.standard_normal(shape).astype(np.float32))


def rounded(array):
  return np.asarray(jnp.asarray(array).astype(jnp.bfloat16), np.float64)


def in_bfloat16(function):
  """The function, traced with products in bfloat16."""

  def traced(*arguments):
    with products.in_bfloat16():
      return function(*arguments)

  return jax.jit(traced)


def test_by_hand():
  """1 + 2⁻⁹ is 1 in bfloat16; its product with 3 is 3, and not 3.006."""
  a, b = jnp.array([[1 + 2.0**-9]]), jnp.array([[3.0]])
  assert float(products.matmul(a, b)[0, 0]) == 3 + 3 * 2.0**-9
  assert float(in_bfloat16(products.matmul)(a, b)[0, 0]) == 3.0
  # The sum is not rounded: 1 + 2⁻⁹ from two products.
  a, b = jnp.array([[1.0, 2.0**-9]]), jnp.ones((2, 1))
  assert float(in_bfloat16(products.matmul)(a, b)[0, 0]) == 1 + 2.0**-9


@pytest.mark.parametrize(
  ('spec', 'a', 'b'),
  [
    ('nd,df->nf', (5, 7), (7, 3)),
    ('...d,vd->...v', (2, 4, 7), (6, 7)),
    ('blkgd,bmkd->bkglm', (2, 3, 2, 2, 5), (2, 4, 2, 5)),
  ],
)
def test_values_and_gradients_are_those_of_rounded_operands(spec, a, b):
  a, b = drawn(*a), drawn(*b, seed=1)
  product = in_bfloat16(partial(products.einsum, spec))
  out, of_operands = jax.vjp(product, a, b)
  assert out.dtype == jnp.float32
  exact = partial(np.einsum, optimize=False)
  np.testing.assert_allclose(
    out, exact(spec, rounded(a), rounded(b)), rtol=1e-5, atol=1e-5
  )
  gradient = drawn(*out.shape, seed=2)
  inputs, result = spec.split('->')
  of_a, of_b = inputs.split(',')
  letters = 'xyz'[: a.ndim - 1] if '...' in spec else ''
  named = [part.replace('...', letters) for part in (of_a, of_b, result)]
  for found, (left, right, to), operands in zip(
    of_operands(gradient),
    [(named[2], named[1], named[0]), (named[0], named[2], named[1])],
    [(gradient, b), (a, gradient)],
    strict=True,
  ):
    wanted = exact(f'{left},{right}->{to}', *map(rounded, operands))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_without_the_precision_it_is_jax_einsum():
  a, b = drawn(5, 7), drawn(7, 3, seed=1)
  text = str(jax.make_jaxpr(products.matmul)(a, b))
  assert 'bf16' not in text
  np.testing.assert_array_equal(products.matmul(a, b), a @ b)
  half = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
  assert in_bfloat16(products.matmul)(*half).dtype == jnp.bfloat16


def linear(x):
  layer = Linear(16)
  return layer.apply(layer.init(jax.random.key(0), jnp.zeros((1, 8))), x)


def attended(x):
  heads = x.reshape(2, 6, 4, 2)
  mask = jnp.ones((2, 6), bool).at[1, :2].set(False)
  return attention.xla(heads, heads[:, :, :2], heads[:, :, 2:], Causal(mask))[
    :, 2:
  ]


def unmasked(x):
  heads = x.reshape(2, 6, 4, 2)
  return attention.xla(heads, heads[:, :, :2], heads[:, :, 2:])


def convolved(x):
  kernel = drawn(3, 8, 4, seed=1)
  return products.convolution(
    x, kernel, (1,), 'SAME', dimension_numbers=('NWC', 'WIO', 'NWC')
  )


def test_convolutions_are_rounded_and_their_gradients_are_not():
  x = drawn(2, 6, 8)
  exact = convolved(x)
  found, of_x = jax.vjp(in_bfloat16(convolved), x)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(
    found,
    jax.lax.conv_general_dilated(
      *map(jnp.float32, map(rounded, (x, drawn(3, 8, 4, seed=1)))),
      (1,),
      'SAME',
      dimension_numbers=('NWC', 'WIO', 'NWC'),
    ),
    rtol=1e-5,
    atol=1e-5,
  )
  assert not np.array_equal(found, exact)
  gradient = drawn(*exact.shape, seed=2)
  wanted = jax.vjp(convolved, x)[1](gradient)
  np.testing.assert_allclose(of_x(gradient)[0], wanted[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  'layer', [linear, attended, unmasked, lambda x: logits(x, drawn(9, 8))]
)
def test_layers_round_what_they_multiply(layer):
  """Near float32, but not equal to it, forward and backward."""
  x = drawn(2, 6, 8)
  for function in (
    layer,
    jax.grad(lambda x: jnp.sum(jnp.sin(layer(x)))),
  ):
    exact, found = jax.jit(function)(x), in_bfloat16(function)(x)
    assert found.dtype == jnp.float32
    gap = jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact)
    assert HALF_ULP / 20 < gap < 8 * HALF_ULP


def test_a_gradient_is_rounded_wherever_it_is_traced():
  a, b = drawn(5, 7), drawn(7, 3, seed=1)

  def forward(a):
    with products.in_bfloat16():
      return products.matmul(a, b)

  (found,) = jax.vjp(forward, a)[1](jnp.ones((5, 3)))
  wanted = np.ones((5, 3)) @ rounded(b).T
  np.testing.assert_allclose(found, wanted, rtol=1e-6)
