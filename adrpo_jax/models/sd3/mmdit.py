"""SD3's multimodal diffusion transformer (`SD3Transformer2DModel`).

Two streams, image and text, attend jointly. The time and the pooled text
modulate every block (adaLN). The last block has no text output. The config has
the field names of diffusers and the defaults of Stable Diffusion 3 medium.
Esser et al., `Scaling Rectified Flow Transformers for High-Resolution Image
Synthesis <https://arxiv.org/abs/2403.03206>`_, 2024.
"""

import dataclasses
from typing import Annotated

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from adrpo_jax.models.compute import Compute, gradient_barrier, stack
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.config_types import Between, Layers, Pixels, Size
from adrpo_jax.models.layers import Linear, layer_norm, rms_norm
from adrpo_jax.types import Array


@dataclasses.dataclass(frozen=True)
class MMDiTConfig:
  """Sizes; width = heads × head dimension, and `sample_size` is in latents."""

  sample_size: Pixels = 128
  patch_size: Annotated[int, Between(1, 64)] = 2
  in_channels: Size = 16
  num_layers: Layers = 24
  num_attention_heads: Size = 24
  attention_head_dim: Size = 64
  joint_attention_dim: Size = 4096
  pooled_projection_dim: Size = 2048
  pos_embed_max_size: Pixels = 192
  qk_norm: bool = False
  dual_attention_layers: tuple[Annotated[int, Between(0, 1023)], ...] = ()

  @property
  def width(self) -> int:
    return self.num_attention_heads * self.attention_head_dim

  @property
  def groups(self) -> tuple[tuple[int, int], ...]:
    """(first, count) of each run of blocks that have the same parameters.

    Blocks with dual attention have more parameters than the others, and the
    last block has fewer. The blocks of a run are stacked.
    """
    dual = [i in self.dual_attention_layers for i in range(self.num_layers)]
    last = self.num_layers - 1
    starts = [
      i
      for i in range(self.num_layers)
      if i in (0, last) or dual[i] != dual[i - 1]
    ]
    ends = [*starts[1:], self.num_layers]
    return tuple(
      (first, end - first) for first, end in zip(starts, ends, strict=True)
    )


class MMDiT(nn.Module):
  """The velocity v_θ(x_σ, σ, c).

  The parameters of the blocks i, i+1, ... of a group are stacked under the name
  `blocks_i`, see `MMDiTConfig.groups`. The position table comes from the
  collection `constants`, cropped to the image, if the checkpoint has one;
  otherwise it is computed.
  """

  config: MMDiTConfig
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, x: Array, sigma: Array, condition: Condition) -> Array:
    """Latents [B, h, w, C], σ [B] in [0, 1], condition [B, ...] -> velocity.

    The velocity is ε − x₀, in the shape of x.
    """
    c, dtype = self.config, self.compute.dtype
    _, height, width, channels = x.shape
    rows, columns = height // c.patch_size, width // c.patch_size
    tokens = _patches(x.astype(dtype), c.patch_size)
    image = Linear(c.width, name='patch_embed')(tokens)
    image = image + self._positions(rows, columns).astype(dtype)[None]
    time = Mlp(c.width, name='timestep_embedder')(
      timestep_features(1000.0 * sigma).astype(dtype)
    )
    pooled = condition.pooled.astype(dtype)
    signal = nn.silu(time + Mlp(c.width, name='text_embedder')(pooled))
    text = Linear(c.width, name='context_embedder')(
      condition.states.astype(dtype)
    )
    image, text, signal = self.compute.constrain((image, text, signal))
    for first, count in c.groups:
      blocks = stack(JointBlock, count, self.compute)
      group = blocks(
        c,
        self.compute,
        dual=first in c.dual_attention_layers,
        last=first == c.num_layers - 1,
        name=f'blocks_{first}',
      )
      (image, text), _ = gradient_barrier(group, (image, text), signal)
    scale, shift = _modulation(2, c.width, 'norm_out', signal)
    image = layer_norm(image) * (1 + scale) + shift
    out = Linear(
      c.patch_size**2 * channels,
      kernel_init=nn.initializers.zeros_init(),
      name='proj_out',
    )(image)
    velocity = _unpatch(out, rows, columns, c.patch_size).reshape(x.shape)
    return velocity.astype(x.dtype)

  def _positions(self, rows: int, columns: int) -> Array:
    if not self.has_variable('constants', 'position_table'):
      return jnp.asarray(position_table(self.config, rows, columns))
    table = self.get_variable('constants', 'position_table')
    if table.shape != (rows * columns, self.config.width):
      raise ValueError(
        f'Expected latents of as many patches as the position table has rows, '
        f'{table.shape[0]}, got {rows} × {columns}. Load the table for this '
        'image size.'
      )
    return table


class JointBlock(nn.Module):
  """Joint attention over both streams, then a gated MLP for each stream."""

  config: MMDiTConfig
  compute: Compute
  dual: bool = False
  last: bool = False

  @nn.compact
  def __call__(self, streams, signal):
    c, (image, text) = self.config, streams
    parts = _modulation(9 if self.dual else 6, c.width, 'norm1', signal)
    shift1, scale1, gate1, shift2, scale2, gate2 = parts[:6]
    # The last block modulates the text by (scale, shift) alone.
    text_parts = _modulation(
      2 if self.last else 6, c.width, 'norm1_context', signal
    )
    text_scale, text_shift = (
      text_parts if self.last else (text_parts[1], text_parts[0])
    )
    normed = layer_norm(image)
    a = normed * (1 + scale1) + shift1
    b = layer_norm(text) * (1 + text_scale) + text_shift
    heads = _heads(c, 'to_{}', 'norm_{}', a)
    text_heads = _heads(c, 'add_{}_proj', 'norm_added_{}', b)
    joint = (
      jnp.concatenate(pair, 1) for pair in zip(heads, text_heads, strict=True)
    )
    attention = self.compute.attention
    mixed = attention(*joint)
    length = image.shape[1]
    image = image + gate1 * Linear(c.width, name='to_out')(mixed[:, :length])
    if self.dual:
      shift3, scale3, gate3 = parts[6:]
      own = normed * (1 + scale3) + shift3
      own = attention(*_heads(c, 'attn2_to_{}', 'attn2_norm_{}', own))
      image = image + gate3 * Linear(c.width, name='attn2_to_out')(own)
    feed = FeedForward(c.width, name='ff')
    image = image + gate2 * feed(layer_norm(image) * (1 + scale2) + shift2)
    if self.last:
      return self.compute.constrain((image, text)), None
    _, _, gate1, shift2, scale2, gate2 = text_parts
    text = text + gate1 * Linear(c.width, name='to_add_out')(mixed[:, length:])
    feed = FeedForward(c.width, name='ff_context')
    text = text + gate2 * feed(layer_norm(text) * (1 + scale2) + shift2)
    return self.compute.constrain((image, text)), None


class Mlp(nn.Module):
  """Linear–SiLU–Linear, for the time and for the pooled text."""

  width: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    x = nn.silu(Linear(self.width, name='linear_1')(x))
    return Linear(self.width, name='linear_2')(x)


class FeedForward(nn.Module):
  """Linear D→4D, tanh-GELU, Linear 4D→D."""

  width: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    x = nn.gelu(Linear(4 * self.width, name='proj')(x), approximate=True)
    return Linear(self.width, name='out')(x)


def timestep_features(t: Array) -> Array:
  """[B] -> [B, 256]: cos | sin of t·10000^(−k/128), in float32."""
  frequencies = jnp.exp(-np.log(10000.0) * jnp.arange(128) / 128)
  angles = t.astype(jnp.float32)[:, None] * frequencies[None]
  return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)


def position_table(config: MMDiTConfig, rows: int, columns: int) -> np.ndarray:
  """Computes the center crop of SD3's position table, [rows·columns, D].

  Position = index·(base size / maximum). The first half of the channels encodes
  the column and the second half the row, each as sin | cos.
  """
  largest = config.pos_embed_max_size
  if max(rows, columns) > largest:
    raise ValueError(
      f'Expected at most {largest} patches along an axis, got {rows} × '
      f'{columns}. Raise pos_embed_max_size or make the image smaller.'
    )
  base = config.sample_size // config.patch_size
  quarter = config.width // 4
  rates = 1.0 / 10000 ** (np.arange(quarter) / quarter)

  def axis(count: int) -> np.ndarray:
    first = (largest - count) // 2
    positions = (first + np.arange(count)) * base / largest
    angles = positions[:, None] * rates[None]
    return np.concatenate([np.sin(angles), np.cos(angles)], -1)

  down = np.repeat(axis(rows)[:, None], columns, 1)
  across = np.repeat(axis(columns)[None], rows, 0)
  table = np.concatenate([across, down], -1)
  return table.reshape(rows * columns, config.width).astype(np.float32)


def _heads(config: MMDiTConfig, name: str, norm: str, x: Array):
  """Returns query, key and value of one stream, [B, L, heads, d] each."""
  split = *x.shape[:2], config.num_attention_heads, config.attention_head_dim
  query, key, value = (
    Linear(config.width, name=name.format(part))(x).reshape(split)
    for part in 'qkv'
  )
  if config.qk_norm:
    query = rms_norm(norm.format('q'), x.dtype)(query)
    key = rms_norm(norm.format('k'), x.dtype)(key)
  return query, key, value


def _modulation(parts: int, width: int, name: str, signal: Array):
  """Splits Linear(signal), which starts as zero, into `parts` of [B, 1, D]."""
  zeros = nn.initializers.zeros_init()
  out = Linear(parts * width, kernel_init=zeros, name=name)(signal)
  return jnp.split(out[:, None, :], parts, -1)


def _patches(x: Array, patch: int) -> Array:
  """[B, h, w, C] -> [B, rows·columns, patch·patch·C], channel fastest."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // patch, patch, width // patch, patch, channels)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(
    batch, -1, patch * patch * channels
  )


def _unpatch(x: Array, rows: int, columns: int, patch: int) -> Array:
  """The inverse of `_patches`."""
  batch, _, features = x.shape
  x = x.reshape(batch, rows, columns, patch, patch, features // patch**2)
  return x.transpose(0, 1, 3, 2, 4, 5)
