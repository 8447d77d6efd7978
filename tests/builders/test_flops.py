"""Operations by hand."""

import jax
import jax.numpy as jnp
import pytest

from adrpo_jax import sharding
from adrpo_jax.builders import flops
from adrpo_jax.models import attention

X, W = jnp.ones((3, 4)), jnp.ones((4, 5))
PRODUCT = 2 * 3 * 4 * 5


def test_a_product_and_its_gradient():
  assert flops.count(lambda x, w: x @ w, X, W) == PRODUCT
  gradient = jax.grad(lambda x, w: jnp.sum((x @ w) ** 2), argnums=(0, 1))
  assert flops.count(gradient, X, W) == 3 * PRODUCT
  frozen = jax.grad(lambda x, w: jnp.sum((x @ w) ** 2))
  assert flops.count(frozen, X, W) == 2 * PRODUCT


def test_batches_loops_and_branches():
  stack = jnp.ones((7, 4, 4))

  def layers(x, stack):
    return jax.lax.scan(lambda x, w: (x @ w, None), x, stack)[0]

  assert flops.count(layers, X, stack) == 7 * 2 * 3 * 4 * 4
  assert flops.count(jax.jit(layers), X, stack) == 7 * 2 * 3 * 4 * 4
  batched = jax.vmap(lambda x, w: x @ w)
  assert flops.count(batched, jnp.ones((6, 3, 4)), jnp.ones((6, 4, 5))) == (
    6 * PRODUCT
  )

  def either(x, w):
    return jax.lax.cond(x[0, 0] > 0, lambda: x @ w @ w.T, lambda: x)

  assert flops.count(either, X, W) == 2 * PRODUCT


def test_what_is_recomputed_counts_again():
  def loss(x, w):
    layer = jax.checkpoint(lambda x: jnp.tanh(x @ w))
    return jnp.sum(layer(x) ** 2)

  plain = jax.grad(lambda x, w: jnp.sum(jnp.tanh(x @ w) ** 2))
  assert flops.count(plain, X, W) == 2 * PRODUCT
  assert flops.count(jax.grad(loss), X, W) == 3 * PRODUCT


def test_a_convolution():
  def convolve(x, k):
    return jax.lax.conv_general_dilated(
      x, k, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )

  count = flops.count(convolve, jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5)))
  assert count == 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3)


def test_a_kernel_on_every_device_counts_as_plain_attention():
  mesh = sharding.make_mesh(2, 2, 2)
  arrays = [jnp.ones((8, 256, 4, 16))] * 3
  plain = flops.count(attention.xla, *arrays)
  assert plain == 2 * 2 * 8 * 4 * 256 * 256 * 16
  assert flops.count(attention.splash(mesh, interpret=True), *arrays) == plain


@pytest.mark.parametrize(
  ('length', 'padded', 'products'), [(1357, 1408, 2 + 5), (2637, 2688, 2 + 7)]
)
def test_gradients_of_the_kernel(length, padded, products):
  """One kernel computes them if a block holds all keys, else two do."""
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  attend = attention.splash(mesh, interpret=True)
  arrays = [jax.ShapeDtypeStruct((1, length, 2, 16), jnp.float32)] * 3
  count = flops.count(jax.grad(lambda *qkv: attend(*qkv).sum()), *arrays)
  by_hand = products * 2 * 2 * padded**2 * 16
  assert count == pytest.approx(by_hand, rel=1e-3)  # and ⟨out, gradient⟩


def test_loops_that_can_end_early_run_as_often_as_they_are_said_to():
  def loops(x, w):
    x = jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ w, x)
    return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ w @ w, x)

  x, w = jnp.ones((3, 4)), jnp.ones((4, 4))
  one = 2 * 3 * 4 * 4
  assert flops.count(loops, x, w, loops=(5, 2)) == (5 + 2 * 2) * one
  for wrong in ((5,), (5, 2, 1)):
    with pytest.raises(ValueError, match='loops'):
      flops.count(loops, x, w, loops=wrong)
