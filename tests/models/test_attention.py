"""Kernels against plain operations, on the CPU by interpretation."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax import sharding
from adrpo_jax.models import attention


def heads(length, batch=2, count=2, features=16):
  keys = jax.random.split(jax.random.key(0), 3)
  shape = batch, length, count, features
  return [2 * jax.random.normal(key, shape) for key in keys]


@pytest.mark.parametrize('length', [7, 128, 150, 600])
def test_splash_is_attention(length):
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  kernel = attention.splash(mesh, interpret=True)
  q, k, v = heads(length)
  np.testing.assert_allclose(kernel(q, k, v), attention.xla(q, k, v), atol=2e-5)


def test_gradients_of_splash():
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])
  kernel = attention.splash(mesh, interpret=True)

  def gradient(function):
    return jax.grad(
      lambda *arrays: jnp.sum(function(*arrays) ** 3), argnums=(0, 1, 2)
    )(*heads(150))

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


def test_float32_is_not_for_cudnn():
  q, k, v = heads(6)
  np.testing.assert_array_equal(
    attention.cudnn(q, k, v), attention.xla(q, k, v)
  )
