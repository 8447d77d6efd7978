"""Softmax attention, and the one place that chooses how it is computed.

An `Attention` is a function (query, key, value, mask) of arrays [B, L, heads,
d] each -> [B, L, heads·d]; `mask` [B, 1, 1 or L, L] or None is True where to
attend. Softmax is float32, whatever the arrays are.
"""

from collections.abc import Callable

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

BLOCK = 512  # of positions, in the kernel of a TPU
LANES = 128  # a block is a multiple of


def for_mesh(mesh: Mesh) -> Attention:
  """What suits the devices of a mesh: splash on TPU, cuDNN on GPU, or XLA."""
  platform = mesh.devices.flat[0].platform
  if platform == 'tpu':
    return splash(mesh)
  return cudnn if platform == 'gpu' else xla


def xla(
  query: Array, key: Array, value: Array, mask: Array | None = None
) -> Array:
  """softmax(q·kᵀ/√d)·v as plain operations: on any platform."""
  out = jax.nn.dot_product_attention(query, key, value, mask=mask)
  return out.reshape(*out.shape[:2], -1)


def cudnn(
  query: Array, key: Array, value: Array, mask: Array | None = None
) -> Array:
  """The fused kernel of cuDNN, which has half precision only."""
  if query.dtype not in (jnp.bfloat16, jnp.float16):
    return xla(query, key, value, mask)
  out = jax.nn.dot_product_attention(
    query, key, value, mask=mask, implementation='cudnn'
  )
  return out.reshape(*out.shape[:2], -1)


def splash(mesh: Mesh, interpret: bool = False) -> Attention:
  """The fused kernel of a TPU, on each device's own rows and heads.

  Scores never reach the memory. Positions are filled up to a whole number of
  blocks; what was filled in is masked. With a mask of one's own: XLA.

  Args:
    mesh: with the axes data, fsdp and tensor; tensor divides the heads.
    interpret: run the kernel as plain operations, on any platform.
  """

  def attention(
    query: Array, key: Array, value: Array, mask: Array | None = None
  ) -> Array:
    if mask is not None:
      return xla(query, key, value, mask)
    batch, length, heads, features = query.shape
    block = min(BLOCK, _filled(length, LANES))
    filled = _filled(length, block)
    real = jnp.arange(filled) < length
    segments = splash_attention_kernel.SegmentIds(
      *(real.astype(jnp.int32),) * 2
    )
    kernel = _kernel(heads // mesh.shape['tensor'], filled, block, interpret)

    def own(query: Array, key: Array, value: Array) -> Array:
      return jax.vmap(lambda q, k, v: kernel(q, k, v, segments))(
        query, key, value
      )

    def heads_first(array: Array) -> Array:
      padding = ((0, 0), (0, 0), (0, filled - length), (0, 0))
      return jnp.pad(array.transpose(0, 2, 1, 3), padding)

    spec = P(('data', 'fsdp'), 'tensor')
    out = jax.shard_map(
      own, mesh=mesh, in_specs=(spec,) * 3, out_specs=spec, check_vma=False
    )(*map(heads_first, (query * features**-0.5, key, value)))
    out = out[:, :, :length].transpose(0, 2, 1, 3)
    return out.reshape(batch, length, heads * features)

  return attention


def _kernel(heads: int, length: int, block: int, interpret: bool):
  whole = splash_attention_mask.FullMask((length, length))
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
    splash_attention_mask.MultiHeadMask([whole] * heads),
    block_sizes=sizes,
    interpret=interpret,
  )


def _filled(length: int, block: int) -> int:
  return -(-length // block) * block
