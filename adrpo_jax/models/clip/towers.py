"""CLIP's text and vision towers (`CLIP{Text,Vision}ModelWithProjection`).

SD3 uses the penultimate states and the pooled vector of two text towers.
Rewards compare the embeddings of texts and images. Configs have the field names
of Hugging Face. Radford et al., `Learning Transferable Visual Models From
Natural Language Supervision <https://arxiv.org/abs/2103.00020>`_, 2021.
"""

from collections.abc import Callable
import dataclasses
from typing import Annotated, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from adrpo_jax.models.compute import Compute, stack
from adrpo_jax.models.config_types import (
  Between,
  Epsilon,
  Layers,
  OneOf,
  Pixels,
  Size,
  TokenId,
  check_multiple,
)
from adrpo_jax.models.layers import Linear
from adrpo_jax.types import Array

# The formulas that `hidden_act` of a checkpoint stands for.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  'quick_gelu': lambda x: x * jax.nn.sigmoid(1.702 * x),
  'gelu': lambda x: jax.nn.gelu(x, approximate=False),
}
Activation = Annotated[str, OneOf(ACTIVATIONS)]
LEGACY_EOS_ID = 2  # the `eos_token_id` of old configs, whatever the vocabulary


@dataclasses.dataclass(frozen=True)
class ClipTextConfig:
  """Sizes of a text tower; the defaults are those of CLIP ViT-L/14."""

  vocab_size: Size = 49408
  hidden_size: Size = 768
  intermediate_size: Size = 3072
  projection_dim: Size = 768
  num_hidden_layers: Layers = 12
  num_attention_heads: Size = 12
  max_position_embeddings: Annotated[int, Between(2, 2**14)] = 77
  hidden_act: Activation = 'quick_gelu'
  layer_norm_eps: Epsilon = 1e-5
  eos_token_id: TokenId = LEGACY_EOS_ID

  def __post_init__(self):
    _check_heads(self)
    if self.eos_token_id >= self.vocab_size:
      raise ValueError(
        f'Expected eos_token_id below vocab_size, {self.vocab_size}, got '
        f'{self.eos_token_id}.'
      )


@dataclasses.dataclass(frozen=True)
class ClipVisionConfig:
  """Sizes of a vision tower; the defaults are those of CLIP ViT-L/14."""

  hidden_size: Size = 1024
  intermediate_size: Size = 4096
  projection_dim: Size = 768
  num_hidden_layers: Layers = 24
  num_attention_heads: Size = 16
  image_size: Pixels = 224
  patch_size: Pixels = 14
  hidden_act: Activation = 'quick_gelu'
  layer_norm_eps: Epsilon = 1e-5

  def __post_init__(self):
    _check_heads(self)
    if self.patch_size > self.image_size:
      raise ValueError(
        f'Expected patch_size of at most image_size, {self.image_size}, got '
        f'{self.patch_size}.'
      )


class ClipTextFeatures(NamedTuple):
  """The outputs of a text tower.

  penultimate: [B, L, D], states before the last layer, not normalized
  pooled:      [B, projection], the projected state of the end token
  """

  penultimate: Array
  pooled: Array


class ClipText(nn.Module):
  """tokens [B, L] -> ClipTextFeatures.

  The last layer is a stack of its own, because the states before it are an
  output.
  """

  config: ClipTextConfig
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, tokens: Array) -> ClipTextFeatures:
    c, dtype = self.config, self.compute.dtype
    embed = nn.Embed(c.vocab_size, c.hidden_size, name='token_embedding')
    positions = self.param(
      'position_embedding',
      nn.initializers.normal(0.02),
      (c.max_position_embeddings, c.hidden_size),
    )
    length = tokens.shape[1]
    x = (embed(tokens) + positions[None, :length]).astype(dtype)
    causal = jnp.tril(jnp.ones((length, length), bool))[None, None]
    last = c.num_hidden_layers - 1
    penultimate = _layers(c, self.compute, 0, last, x, causal)
    x = _layers(c, self.compute, last, 1, penultimate, causal)
    x = _norm(c, dtype, 'final_layer_norm')(x)
    end = eos_positions(tokens, c.eos_token_id)
    pooled = jnp.take_along_axis(x, end[:, None, None], 1)[:, 0]
    projected = Linear(c.projection_dim, False, name='text_projection')(pooled)
    return ClipTextFeatures(penultimate, projected)


class ClipVision(nn.Module):
  """images [B, H, W, 3], normalized -> embeddings [B, projection]."""

  config: ClipVisionConfig
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, images: Array) -> Array:
    c, dtype = self.config, self.compute.dtype
    size = c.image_size
    if images.shape[1:] != (size, size, 3):
      raise ValueError(
        f'Expected images [B, {size}, {size}, 3], got {images.shape}. '
        'Preprocess the images for this tower.'
      )
    patches = nn.Conv(
      c.hidden_size,
      (c.patch_size, c.patch_size),
      strides=c.patch_size,
      padding='VALID',
      use_bias=False,
      dtype=dtype,
      name='patch_embedding',
    )(images)
    tokens = patches.reshape(images.shape[0], -1, c.hidden_size)
    normal = nn.initializers.normal(0.02)
    class_token = self.param('class_embedding', normal, (c.hidden_size,))
    positions = self.param(
      'position_embedding', normal, (tokens.shape[1] + 1, c.hidden_size)
    )
    class_token = jnp.broadcast_to(
      class_token, (images.shape[0], 1, c.hidden_size)
    )
    x = jnp.concatenate([class_token.astype(dtype), tokens], 1)
    x = x + positions.astype(dtype)[None]
    x = _norm(c, dtype, 'pre_layernorm')(x)
    x = _layers(c, self.compute, 0, c.num_hidden_layers, x, None)
    x = _norm(c, dtype, 'post_layernorm')(x[:, 0])
    return Linear(c.projection_dim, False, name='visual_projection')(x)


class ClipLayer(nn.Module):
  """Attention and an MLP, each after a norm and with a residual."""

  config: ClipTextConfig | ClipVisionConfig
  compute: Compute

  @nn.compact
  def __call__(self, x, mask):
    c = self.config
    heads = *x.shape[:2], c.num_attention_heads, -1
    y = _norm(c, x.dtype, 'layer_norm1')(x)
    q, k, v = (
      Linear(c.hidden_size, name=f'{n}_proj')(y).reshape(heads) for n in 'qkv'
    )
    mixed = self.compute.attention(q, k, v, mask)
    x = x + Linear(c.hidden_size, name='out_proj')(mixed)
    y = _norm(c, x.dtype, 'layer_norm2')(x)
    y = Linear(c.intermediate_size, name='fc1')(y)
    y = Linear(c.hidden_size, name='fc2')(ACTIVATIONS[c.hidden_act](y))
    return self.compute.constrain(x + y), None


def eos_positions(tokens: Array, eos_id: int) -> Array:
  """The index of the end token, whose state is pooled: [B, L] -> [B].

  This is the first token with the id `eos_id`. Old configs have the value 2,
  which occurs in no text; then it is the first token with the largest id.
  """
  if eos_id == LEGACY_EOS_ID:
    return jnp.argmax(tokens, -1)
  return jnp.argmax(tokens == eos_id, -1)


def _check_heads(config: ClipTextConfig | ClipVisionConfig) -> None:
  check_multiple(
    'hidden_size',
    config.hidden_size,
    'num_attention_heads',
    config.num_attention_heads,
  )


def _layers(config, compute: Compute, first: int, count: int, x, mask):
  layers = stack(ClipLayer, count, compute)
  return layers(config, compute, name=f'layers_{first}')(x, mask)[0]


def _norm(config, dtype, name: str) -> nn.LayerNorm:
  return nn.LayerNorm(
    config.layer_norm_eps, dtype=dtype, use_fast_variance=False, name=name
  )
