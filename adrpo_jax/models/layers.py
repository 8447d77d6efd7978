"""Layers that several models share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adrpo_jax.models import products
from adrpo_jax.types import Array


class Linear(nn.Module):
  """y = x·W + b over the last axis, with the leading axes flattened into one.

  If an adapter is attached to W (see `lora.attach`), y = x·W + b + (x·A)·B. No
  product and no gradient of the size of W is computed for it. The leading axes
  are flattened for the sake of the CPU, where XLA turns the gradient of a dense
  layer on [B, L, D] into a slow batched product; elsewhere this costs nothing.
  """

  features: int
  use_bias: bool = True
  kernel_init: Callable = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, x: Array) -> Array:
    dense = nn.Dense(
      self.features,
      use_bias=self.use_bias,
      kernel_init=self.kernel_init,
      dtype=x.dtype,
      dot_general=lambda rows, kernel, *_, **__: products.matmul(rows, kernel),
      name='dense',
    )
    rows = x.reshape(-1, x.shape[-1])
    y = dense(rows)
    if self.has_variable('params', 'lora_a'):
      down, up = (
        self.get_variable('params', name).astype(x.dtype)
        for name in ('lora_a', 'lora_b')
      )
      y += products.matmul(products.matmul(rows, down), up)
    return y.reshape(*x.shape[:-1], self.features)


class GroupNorm(nn.Module):
  """GroupNorm over [B, H, W, C] with a two-pass variance and ε = 1e-6.

  The mean over a group is a product with a small pooling matrix. On the CPU,
  this is seven times faster than a reduction over [B, H, W, groups, C/groups].
  """

  groups: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    width = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones_init(), (width,))
    bias = self.param('bias', nn.initializers.zeros_init(), (width,))
    size = width // self.groups
    pool = jnp.kron(jnp.eye(self.groups), jnp.full((size, size), 1 / size))
    flat = x.reshape(x.shape[0], -1, width).astype(jnp.float32)
    pooled = partial(jnp.matmul, b=pool, precision='float32')
    centered = flat - pooled(flat.mean(1))[:, None]
    variance = pooled(jnp.mean(centered**2, 1))
    factor = jax.lax.rsqrt(variance + 1e-6) * scale[None]
    out = centered * factor[:, None] + bias[None, None]
    return out.reshape(x.shape).astype(x.dtype)


def rms_norm(name: str | None, dtype: Any, epsilon: float = 1e-6) -> nn.RMSNorm:
  """x / √(⟨x²⟩ + ε) · scale over the last axis, computed in float32."""
  return nn.RMSNorm(
    epsilon=epsilon, use_fast_variance=False, dtype=dtype, name=name
  )


def layer_norm(x: Array, eps: float = 1e-6) -> Array:
  """LayerNorm without scale and bias, in float32 with a two-pass variance."""
  x32 = x.astype(jnp.float32)
  centered = x32 - x32.mean(-1, keepdims=True)
  variance = jnp.mean(centered**2, -1, keepdims=True)
  return (centered * jax.lax.rsqrt(variance + eps)).astype(x.dtype)
