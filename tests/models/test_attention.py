"""Compares kernels, interpreted on the CPU, with plain operations."""

from functools import partial
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax import sharding
from adrpo_jax.models import attention
from adrpo_jax.models.attention_masks import Branches, Branching


def heads(length, batch=2, count=2, features=16):
  keys = jax.random.split(jax.random.key(0), 3)
  shape = batch, length, count, features
  return [2 * jax.random.normal(key, shape) for key in keys]


@pytest.mark.parametrize('length', [7, 128, 150, 1357, 1800])
def test_splash_is_attention(length):
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  kernel = attention.splash(mesh, interpret=True)
  q, k, v = heads(length)
  np.testing.assert_allclose(kernel(q, k, v), attention.xla(q, k, v), atol=2e-5)


@pytest.mark.parametrize('length', [150, 1357])
def test_gradients_of_splash(length):
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  kernel = attention.splash(mesh, interpret=True)

  def gradient(function):
    return jax.grad(
      lambda *arrays: jnp.sum(function(*arrays) ** 3), argnums=(0, 1, 2)
    )(*heads(length, batch=1))

  for ours, plain in zip(
    gradient(kernel), gradient(attention.xla), strict=True
  ):
    largest = float(jnp.abs(plain).max())
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-5 * largest)


def test_splash_on_eight_devices_is_that_on_one():
  mesh = sharding.make_mesh(2, 2, 2)
  arrays = heads(40, batch=4, count=4)
  split = jax.jit(attention.splash(mesh, interpret=True))(*arrays)
  np.testing.assert_allclose(split, attention.xla(*arrays), atol=2e-5)


def causal_inputs(length=150):
  """Rows padded on either side, with half as many heads of keys as queries."""
  q, _, _ = heads(length, count=4)
  _, k, v = heads(length, count=2)
  real = jnp.ones((2, length), bool).at[0, :7].set(False)
  real = real.at[1, -5:].set(False)
  return (q, k, v), attention.Causal(real)


def at_real(out, mask):
  return jnp.where(mask.token_mask[..., None], out, 0.0)


def test_causal_attention_by_hand():
  q, k, v = heads(3)
  mask = attention.Causal(jnp.array([[False, True, True], [True, True, True]]))
  out = attention.xla(q, k, v, mask)
  np.testing.assert_allclose(out[0, 1], v[0, 1].reshape(-1), atol=1e-6)
  np.testing.assert_allclose(out[1, 0], v[1, 0].reshape(-1), atol=1e-6)
  full = attention.xla(q, k, v)
  np.testing.assert_allclose(out[1, 2], full[1, 2], atol=1e-6)


def test_causal_splash_is_causal_attention_where_it_is_of_use():
  arrays, mask = causal_inputs()
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  kernel = attention.splash(mesh, interpret=True)

  def gradient(function):
    def total(*arrays):
      return jnp.sum(at_real(function(*arrays, mask), mask) ** 3)

    return jax.grad(total, argnums=(0, 1, 2))(*arrays)

  ours = at_real(kernel(*arrays, mask), mask)
  plain = at_real(attention.xla(*arrays, mask), mask)
  np.testing.assert_allclose(ours, plain, atol=2e-5)
  for actual, expected in zip(
    gradient(kernel), gradient(attention.xla), strict=True
  ):
    largest = float(jnp.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * largest)


def test_causal_splash_on_eight_devices():
  arrays, mask = causal_inputs(40)
  arrays = [jnp.repeat(array, 2, 0) for array in arrays]
  mask = attention.Causal(jnp.repeat(mask.token_mask, 2, 0))
  mesh = sharding.make_mesh(2, 2, 2)
  split = jax.jit(attention.splash(mesh, interpret=True))(*arrays, mask)
  plain = attention.xla(*arrays, mask)
  np.testing.assert_allclose(
    at_real(split, mask), at_real(plain, mask), atol=2e-5
  )


def branching_inputs(prefix, count, length):
  """Rows with branches, and rows of a branch each."""
  branches = Branches(prefix, count, length)
  arrays, mask = causal_inputs(prefix + count * length)
  apart = [branches.continued(array) for array in arrays]
  apart_mask = attention.Causal(branches.continued(mask.token_mask))
  return arrays, Branching(mask.token_mask, branches), apart, apart_mask


def of_branches(out, mask):
  """Outputs at real positions, as a row for each branch."""
  return mask.branches.continued(at_real(out, mask))


def test_branches_are_rows_of_their_own():
  arrays, mask, apart, apart_mask = branching_inputs(9, 3, 4)
  together = of_branches(attention.xla(*arrays, mask), mask)
  alone = at_real(attention.xla(*apart, apart_mask), apart_mask)
  np.testing.assert_allclose(together, alone, atol=2e-6)
  half = [array.astype(jnp.bfloat16) for array in arrays]
  fused = attention.cudnn(*half, mask, implementation=KERNEL)
  assert_near(of_branches(fused, mask), alone)


@pytest.mark.parametrize('prefix', [9, 140])
def test_splash_of_branches(prefix):
  arrays, mask, *_ = branching_inputs(prefix, 3, 50)
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  kernel = attention.splash(mesh, interpret=True)

  def value_and_gradients(function):
    def total(*arrays):
      out = at_real(function(*arrays, mask), mask)
      return jnp.sum(out**3), out

    return jax.grad(total, argnums=(0, 1, 2), has_aux=True)(*arrays)

  gradients, out = value_and_gradients(kernel)
  expected, plain = value_and_gradients(attention.xla)
  np.testing.assert_allclose(out, plain, atol=2e-5)
  for ours, theirs in zip(gradients, expected, strict=True):
    largest = float(jnp.abs(theirs).max())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * largest)


def test_a_mask_of_ones_own_is_obeyed():
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  q, k, v = heads(6)
  causal = jnp.tril(jnp.ones((6, 6), bool))[None, None]
  masked = attention.splash(mesh, interpret=True)(q, k, v, causal)
  np.testing.assert_array_equal(masked, attention.xla(q, k, v, causal))
  np.testing.assert_allclose(masked[:, 0], v[:, 0].reshape(2, -1), atol=1e-6)


def test_the_platform_decides():
  def mesh(platform):
    device = types.SimpleNamespace(platform=platform)
    return types.SimpleNamespace(devices=np.array([device]))

  assert attention.for_mesh(mesh('cpu')) is attention.xla
  assert attention.for_mesh(mesh('gpu')) is attention.cudnn
  assert attention.for_mesh(mesh('tpu')) not in (attention.xla, attention.cudnn)


# On a GPU the kernel itself, elsewhere the steps around it.
KERNEL = 'cudnn' if jax.default_backend() == 'gpu' else 'xla'


@pytest.mark.parametrize(
  ('length', 'keys', 'masked'),
  [(8, 8, False), (7, 7, False), (7, 7, True), (8, 9, True)],
)
def test_cudnn_takes_odd_lengths(length, keys, masked):
  q, k, v = (array.astype(jnp.bfloat16) for array in heads(10))
  arrays = q[:, :length], k[:, :keys], v[:, :keys]
  # A mask of every key of a row, as of text encoders; the last key is hidden.
  mask = (jnp.arange(keys) < keys - 1)[None, None, None].repeat(2, 0)
  mask = mask if masked else None

  def gradients(attend, arrays):
    def loss(*arrays):
      return jnp.sum(attend(*arrays, mask).astype(jnp.float32))

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*arrays)

  exact = [array.astype(jnp.float32) for array in arrays]
  ours = jax.jit(partial(attention.cudnn, implementation=KERNEL))
  assert_near(ours(*arrays, mask), attention.xla(*exact, mask))
  for actual, expected in zip(
    gradients(ours, arrays), gradients(attention.xla, exact), strict=True
  ):
    assert_near(actual, expected)


def test_causal_cudnn_takes_an_odd_length():
  exact, mask = causal_inputs(151)
  arrays = [array.astype(jnp.bfloat16) for array in exact]
  ours = attention.cudnn(*arrays, mask, implementation=KERNEL)
  exact = [array.astype(jnp.float32) for array in arrays]
  plain = attention.xla(*exact, mask)
  assert_near(at_real(ours, mask), at_real(plain, mask))


def assert_near(actual, expected):
  """Within 3 % of the largest value, the rounding of a few bfloat16 steps."""
  largest = float(jnp.abs(expected).max())
  np.testing.assert_allclose(
    actual.astype(jnp.float32), expected, rtol=0, atol=0.03 * largest
  )


def test_float32_is_not_for_cudnn():
  q, k, v = heads(6)
  np.testing.assert_array_equal(
    attention.cudnn(q, k, v), attention.xla(q, k, v)
  )
