"""Softmax attention, and the one place that chooses how it is computed.

An `Attention` is a function (query, key, value, mask) of arrays [B, L, heads,
d] each -> [B, L, heads·d]; of keys and values there may be fewer heads, each
for several of the queries. `mask` says where to attend: None, everywhere; an
array [B, 1, 1 or L, L], where it is True; or `Causal`. Softmax is float32,
whatever the arrays are.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_kernel,
  splash_attention_mask,
)
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from adrpo_jax.types import Array

Attention = Callable[..., Array]


class Causal(NamedTuple):
  """Every position attends to the real ones up to itself.

  real: [B, L] bool. What is said of a position that is not real is of no use.
  """

  real: Array


Mask = Array | Causal | None

BLOCK = 512  # of positions, in the kernel of a TPU
LANES = 128  # a block is a multiple of


def for_mesh(mesh: Mesh) -> Attention:
  """What suits the devices of a mesh: splash on TPU, cuDNN on GPU, or XLA."""
  platform = mesh.devices.flat[0].platform
  if platform == 'tpu':
    return splash(mesh)
  return cudnn if platform == 'gpu' else xla


def mask_array(mask: Mask) -> Array | None:
  """The mask as an array, if there is one."""
  if not isinstance(mask, Causal):
    return mask
  length = mask.real.shape[1]
  before = jnp.tril(jnp.ones((length, length), bool))
  return (before[None] & mask.real[:, None].astype(bool))[:, None]


def xla(query: Array, key: Array, value: Array, mask: Mask = None) -> Array:
  """softmax(q·kᵀ/√d)·v as plain operations: on any platform."""
  out = jax.nn.dot_product_attention(query, key, value, mask=mask_array(mask))
  return out.reshape(*out.shape[:2], -1)


def cudnn(query: Array, key: Array, value: Array, mask: Mask = None) -> Array:
  """The fused kernel of cuDNN, which has half precision only."""
  if query.dtype not in (jnp.bfloat16, jnp.float16):
    return xla(query, key, value, mask)
  out = jax.nn.dot_product_attention(
    query, key, value, mask=mask_array(mask), implementation='cudnn'
  )
  return out.reshape(*out.shape[:2], -1)


def splash(mesh: Mesh, interpret: bool = False) -> Attention:
  """The fused kernel of a TPU, on each device's own rows and heads.

  Scores never reach the memory. Positions are filled up to a whole number of
  blocks; what was filled in is masked, and so is what is not real: it attends
  to its like. With an array for a mask, or heads that tensor does not divide:
  XLA.

  Args:
    mesh: with the axes data, fsdp and tensor.
    interpret: run the kernel as plain operations, on any platform.
  """

  def attention(
    query: Array, key: Array, value: Array, mask: Mask = None
  ) -> Array:
    batch, length, heads, features = query.shape
    ways = mesh.shape['tensor']
    causal = isinstance(mask, Causal)
    if not (mask is None or causal) or heads % ways or key.shape[2] % ways:
      return xla(query, key, value, mask)
    block = min(BLOCK, _filled(length, LANES))
    filled = _filled(length, block)
    kernel = _kernel(heads // ways, filled, block, causal, interpret)
    if isinstance(mask, Causal):  # of rows that differ
      real = jnp.pad(mask.real, ((0, 0), (0, filled - length)))
      axis, split = 0, P(('data', 'fsdp'))
    else:
      real, axis, split = jnp.arange(filled) < length, None, P()

    def row(query: Array, key: Array, value: Array, real: Array) -> Array:
      segments = splash_attention_kernel.SegmentIds(real, real)
      return kernel(query, key, value, segments)

    def heads_first(array: Array) -> Array:
      padding = ((0, 0), (0, 0), (0, filled - length), (0, 0))
      return jnp.pad(array.transpose(0, 2, 1, 3), padding)

    spec = P(('data', 'fsdp'), 'tensor')
    own: Callable[..., Array] = jax.vmap(row, in_axes=(0, 0, 0, axis))
    out = jax.shard_map(
      own,
      mesh=mesh,
      in_specs=(spec, spec, spec, split),
      out_specs=spec,
      check_vma=False,
    )(
      *map(heads_first, (query * features**-0.5, key, value)),
      real.astype(jnp.int32),
    )
    out = out[:, :, :length].transpose(0, 2, 1, 3)
    return out.reshape(batch, length, heads * features)

  return attention


def _kernel(heads: int, length: int, block: int, causal: bool, interpret: bool):
  kind = (
    splash_attention_mask.CausalMask
    if causal
    else splash_attention_mask.FullMask
  )
  each = kind((length, length))
  sizes = splash_attention_kernel.BlockSizes(
    block_q=block,
    block_kv=block,
    block_kv_compute=block,
    block_q_dkv=block,
    block_kv_dkv=block,
    block_kv_dkv_compute=block,
    block_q_dq=block,
    block_kv_dq=block,
  )
  return splash_attention_kernel.make_splash_mha_single_device(
    splash_attention_mask.MultiHeadMask([each] * heads),
    block_sizes=sizes,
    interpret=interpret,
  )


def _filled(length: int, block: int) -> int:
  return -(-length // block) * block
