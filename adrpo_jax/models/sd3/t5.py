"""The encoder of T5 v1.1 (`T5EncoderModel`).

There are no position embeddings. Attention adds a bias that depends on the
distance of two tokens, from one table for all layers, and its scores are not
divided by √d. Padding is attended to, as in SD3. Raffel et al., `Exploring the
Limits of Transfer Learning with a Unified Text-to-Text Transformer
<https://arxiv.org/abs/1910.10683>`_, 2020.
"""

import dataclasses
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.models.compute import Compute, stack
from adrpo_jax.models.config_types import Between, Epsilon, Layers, Size
from adrpo_jax.models.layers import Linear, rms_norm
from adrpo_jax.types import Array

MAX_DISTANCE = 128  # of configs that are older than the field


@dataclasses.dataclass(frozen=True)
class T5Config:
  """Sizes under Hugging Face's names; the defaults are those of T5 v1.1 XXL."""

  vocab_size: Size = 32128
  d_model: Size = 4096
  d_kv: Size = 64
  d_ff: Size = 10240
  num_layers: Layers = 24
  num_heads: Size = 64
  relative_attention_num_buckets: Annotated[int, Between(4, 2**14)] = 32
  relative_attention_max_distance: Size = MAX_DISTANCE
  layer_norm_epsilon: Epsilon = 1e-6

  def __post_init__(self):
    exact = self.relative_attention_num_buckets // 4
    if self.relative_attention_max_distance <= exact:
      raise ValueError(
        f'Expected relative_attention_max_distance above {exact}, a quarter of '
        'relative_attention_num_buckets, got '
        f'{self.relative_attention_max_distance}.'
      )


class T5Encoder(nn.Module):
  """tokens [B, L] -> states [B, L, D], normalized."""

  config: T5Config
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, tokens: Array) -> Array:
    c, dtype = self.config, self.compute.dtype
    embed = nn.Embed(c.vocab_size, c.d_model, name='shared')
    table = self.param(
      'relative_attention_bias',
      nn.initializers.normal(1.0),
      (c.relative_attention_num_buckets, c.num_heads),
    )
    buckets = relative_position_buckets(
      tokens.shape[1],
      c.relative_attention_num_buckets,
      c.relative_attention_max_distance,
    )
    bias = table.astype(jnp.float32)[buckets].transpose(2, 0, 1)[None]
    x = embed(tokens).astype(dtype)
    layers = stack(T5Layer, c.num_layers, self.compute)
    x, _ = layers(c, self.compute, name='block_0')(x, bias)
    return rms_norm('final_layer_norm', dtype, c.layer_norm_epsilon)(x)


class T5Layer(nn.Module):
  """Attention and a gated MLP, each after a norm and with a residual."""

  config: T5Config
  compute: Compute

  @nn.compact
  def __call__(self, x, bias):
    c = self.config
    inner = c.num_heads * c.d_kv
    y = rms_norm('attention_norm', x.dtype, c.layer_norm_epsilon)(x)
    q, k, v = (
      Linear(inner, False, name=n)(y).reshape(*x.shape[:2], c.num_heads, -1)
      for n in 'qkv'
    )
    # No fused kernel supports a bias.
    mixed = jax.nn.dot_product_attention(q, k, v, bias, scale=1.0)
    mixed = mixed.reshape(*x.shape[:2], inner)
    x = x + Linear(c.d_model, False, name='o')(mixed)
    y = rms_norm('mlp_norm', x.dtype, c.layer_norm_epsilon)(x)
    gate = nn.gelu(Linear(c.d_ff, False, name='wi_0')(y), approximate=True)
    y = gate * Linear(c.d_ff, False, name='wi_1')(y)
    x = x + Linear(c.d_model, False, name='wo')(y)
    return self.compute.constrain(x), None


def relative_position_buckets(
  length: int, buckets: int, max_distance: int
) -> np.ndarray:
  """The row of the bias table for each pair of positions: [query, key].

  r = key − query. Half of the buckets are for r > 0. Half of these are for |r|
  = 0, 1, ...; the others grow as log |r| up to `max_distance`, and the last one
  covers everything beyond.
  """
  positions = np.arange(length)
  r = positions[None] - positions[:, None]
  half, exact = buckets // 2, buckets // 4
  far = np.maximum(np.abs(r), 1) / exact
  log_buckets = exact + (
    np.log(far) / np.log(max_distance / exact) * (half - exact)
  ).astype(int)
  within = np.where(
    np.abs(r) < exact, np.abs(r), np.minimum(log_buckets, half - 1)
  )
  return half * (r > 0) + within
