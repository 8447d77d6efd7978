"""Softmax attention: three implementations, and the choice between them.

An `Attention` is a function (query, key, value, mask) -> [B, L, heads·d] of
arrays [B, L, heads, d]. Keys and values may have fewer heads than queries; each
of these then serves several heads of the queries. `mask` is None (attend
everywhere), a boolean array [B, 1, 1 or L, L] (attend where it is True),
`Causal` or `Branching`. The softmax is computed in float32 whatever the dtype
of the arrays.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_kernel,
  splash_attention_mask,
)
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
import numpy as np

from adrpo_jax.models import products
from adrpo_jax.models.attention_blocks import Blocks, blocks_of
from adrpo_jax.models.attention_masks import (
  Branches,
  Branching,
  Causal,
  Mask,
  attend_by_branch,
  mask_array,
)
from adrpo_jax.types import Array

Attention = Callable[..., Array]
# The score of a pair that does not attend: finite, so that a row without any
# pair has a softmax.
NEVER = -1e30


def for_mesh(mesh: Mesh) -> Attention:
  """Chooses by the mesh's platform: splash on TPU, cuDNN on GPU, else XLA."""
  platform = mesh.devices.flat[0].platform
  if platform == 'tpu':
    return splash(mesh)
  return cudnn if platform == 'gpu' else xla


def xla(query: Array, key: Array, value: Array, mask: Mask = None) -> Array:
  """Computes softmax(q·kᵀ/√d)·v in plain operations, on any platform."""
  if isinstance(mask, Branching):
    return attend_by_branch(xla, query, key, value, mask)
  attend: Callable[..., Array] = jax.nn.dot_product_attention
  if products.rounds(query, key, value):
    attend = _of_rounded_products
  out = attend(query, key, value, mask=mask_array(mask))
  return out.reshape(*out.shape[:2], -1)


def _of_rounded_products(
  query: Array, key: Array, value: Array, mask: Array | None
) -> Array:
  """Attention with `products.einsum`; softmax and result are float32."""
  batch, length, heads, features = query.shape
  grouped = query.reshape(batch, length, key.shape[2], -1, features)
  scores = products.einsum('blkgd,bmkd->bkglm', grouped, key) / features**0.5
  if mask is not None:
    scores = jnp.where(mask[:, :, None], scores, NEVER)
  out = products.einsum('bkglm,bmkd->blkgd', jax.nn.softmax(scores), value)
  return out.reshape(batch, length, heads, features)


def cudnn(
  query: Array,
  key: Array,
  value: Array,
  mask: Mask = None,
  implementation: Literal['cudnn', 'xla'] = 'cudnn',
) -> Array:
  """Computes attention by the fused kernel of cuDNN, or by `xla`.

  The kernel takes half precision only, so other arrays go to `xla`. So does one
  query alone, the step of a decoder with a cache. JAX refuses the kernel's
  gradients for odd lengths: these are padded by one position, which nothing
  attends to.

  Args:
    query, key, value, mask: see the module.
    implementation: 'xla' runs the same steps on any platform.
  """
  if isinstance(mask, Branching):
    attend = partial(cudnn, implementation=implementation)
    return attend_by_branch(attend, query, key, value, mask)
  (batch, length), keys = query.shape[:2], key.shape[1]
  half = query.dtype in (jnp.bfloat16, jnp.float16)
  if not half or length == 1:
    return xla(query, key, value, mask)
  padding = length % 2, keys % 2
  lengths: tuple[Array | None, Array | None] = (None, None)
  mask = mask_array(mask)
  if mask is not None:
    mask = jnp.broadcast_to(mask, (batch, 1, length, keys))
    mask = jnp.pad(mask, ((0, 0), (0, 0), *((0, p) for p in padding)))
  elif any(padding):
    lengths = (
      jnp.full(batch, length, jnp.int32),
      jnp.full(batch, keys, jnp.int32),
    )

  def even(array: Array, padding: int) -> Array:
    return jnp.pad(array, ((0, 0), (0, padding), (0, 0), (0, 0)))

  out = jax.nn.dot_product_attention(
    even(query, padding[0]),
    even(key, padding[1]),
    even(value, padding[1]),
    mask=mask,
    query_seq_lengths=lengths[0],
    key_value_seq_lengths=lengths[1],
    implementation=implementation,
  )
  return out[:, :length].reshape(batch, length, -1)


def splash(mesh: Mesh, interpret: bool = False) -> Attention:
  """Makes the attention of the fused TPU kernel, sharded by row and head.

  Attention scores never reach the main memory. Positions are padded to a whole
  number of blocks, see `attention_blocks`. Padding, like the positions that are
  not real, attends only to its own kind. An array as mask, and a number of
  heads that the axis tensor does not divide, go to `xla`.

  Args:
    mesh: has the axes data, fsdp and tensor.
    interpret: True runs the kernel as plain operations, on any platform.
  """

  def attention(
    query: Array, key: Array, value: Array, mask: Mask = None
  ) -> Array:
    batch, length, heads, features = query.shape
    tensor = mesh.shape['tensor']
    known = mask is None or isinstance(mask, (Causal, Branching))
    if not known or heads % tensor or key.shape[2] % tensor:
      return xla(query, key, value, mask)
    blocks = blocks_of(length, masked=mask is not None)
    padded = blocks.length
    kernel = _kernel(heads // tensor, blocks, mask, interpret)
    if isinstance(mask, (Causal, Branching)):  # Rows differ.
      token_mask = jnp.pad(mask.token_mask, ((0, 0), (0, padded - length)))
      axis, split = 0, P(('data', 'fsdp'))
    else:
      token_mask, axis, split = jnp.arange(padded) < length, None, P()

    def row(query: Array, key: Array, value: Array, mask: Array) -> Array:
      segments = splash_attention_kernel.SegmentIds(mask, mask)
      return kernel(query, key, value, segments)

    def heads_first(array: Array) -> Array:
      padding = ((0, 0), (0, 0), (0, padded - length), (0, 0))
      return jnp.pad(array.transpose(0, 2, 1, 3), padding)

    spec = P(('data', 'fsdp'), 'tensor')
    batched: Callable[..., Array] = jax.vmap(row, in_axes=(0, 0, 0, axis))
    out = jax.shard_map(
      batched,
      mesh=mesh,
      in_specs=(spec, spec, spec, split),
      out_specs=spec,
      check_vma=False,
    )(
      *map(heads_first, (query * features**-0.5, key, value)),
      token_mask.astype(jnp.int32),
    )
    out = out[:, :, :length].transpose(0, 2, 1, 3)
    return out.reshape(batch, length, heads * features)

  return attention


def _kernel(heads: int, blocks: Blocks, mask: Mask, interpret: bool):
  shape = blocks.length, blocks.length
  static_mask: splash_attention_mask.Mask
  if isinstance(mask, Branching):
    static_mask = _BranchMask(mask.branches, blocks.length)
  elif isinstance(mask, Causal):
    static_mask = splash_attention_mask.CausalMask(shape)
  else:
    static_mask = splash_attention_mask.FullMask(shape)
  # One kernel for all gradients has those of queries for each block of keys,
  # rounded to their dtype. From a single block there is nothing to add.
  fused = blocks.keys == blocks.length
  sizes = splash_attention_kernel.BlockSizes(
    block_q=blocks.queries,
    block_kv=blocks.keys,
    block_kv_compute=blocks.keys,
    block_q_dkv=blocks.keys,
    block_kv_dkv=blocks.keys,
    block_kv_dkv_compute=blocks.rows,
    block_q_dq=None if fused else blocks.queries,
    block_kv_dq=None if fused else blocks.keys,
    use_fused_bwd_kernel=fused,
  )
  return splash_attention_kernel.make_splash_mha_single_device(
    splash_attention_mask.MultiHeadMask([static_mask] * heads),
    block_sizes=sizes,
    interpret=interpret,
  )


class _BranchMask(splash_attention_mask.Mask):
  """A mask that the kernel computes itself; it skips blocks without a pair."""

  def __init__(self, branches: Branches, length: int):
    self._length = length
    self.q_sequence = np.arange(length, dtype=np.int32)
    self.mask_function = branches.attends

  @property
  def shape(self) -> tuple[int, int]:
    return self._length, self._length

  def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
    queries, keys = (self.q_sequence[part] for part in index)
    return self.mask_function(queries[:, None], keys[None])
