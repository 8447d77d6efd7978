"""CLIP's text and vision towers (`CLIPTextModelWithProjection` and the other).

SD3 takes the last-but-one states and the pooled vector of two text towers;
rewards compare the embeddings of both kinds. Configs have Hugging Face's field
names. Radford et al., `Learning Transferable Visual Models From Natural
Language Supervision <https://arxiv.org/abs/2103.00020>`_, 2021.
"""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from adrpo_jax.models.compute import Compute, stack
from adrpo_jax.models.layers import Linear
from adrpo_jax.types import Array

# Which formula a checkpoint means by its `hidden_act`.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  'quick_gelu': lambda x: x * jax.nn.sigmoid(1.702 * x),
  'gelu': lambda x: jax.nn.gelu(x, approximate=False),
}
OLD_END = 2  # an `eos_token_id` that old configs give whatever the vocabulary


@dataclasses.dataclass(frozen=True)
class ClipTextConfig:
  """Sizes of a text tower; the defaults are those of CLIP ViT-L/14."""

  vocab_size: int = 49408
  hidden_size: int = 768
  intermediate_size: int = 3072
  projection_dim: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  max_position_embeddings: int = 77
  hidden_act: str = 'quick_gelu'
  layer_norm_eps: float = 1e-5
  eos_token_id: int = OLD_END


@dataclasses.dataclass(frozen=True)
class ClipVisionConfig:
  """Sizes of a vision tower; the defaults are those of CLIP ViT-L/14."""

  hidden_size: int = 1024
  intermediate_size: int = 4096
  projection_dim: int = 768
  num_hidden_layers: int = 24
  num_attention_heads: int = 16
  image_size: int = 224
  patch_size: int = 14
  hidden_act: str = 'quick_gelu'
  layer_norm_eps: float = 1e-5


class ClipTextFeatures(NamedTuple):
  """What a text tower says of its tokens.

  penultimate: [B, L, D], states before the last layer, not normalized
  pooled:      [B, projection], of the end token, projected
  """

  penultimate: Array
  pooled: Array


class ClipText(nn.Module):
  """tokens [B, L] -> ClipTextFeatures.

  The last layer has a stack of its own, since states before it are wanted.
  """

  config: ClipTextConfig
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, tokens: Array) -> ClipTextFeatures:
    c, dtype = self.config, self.compute.dtype
    embed = nn.Embed(c.vocab_size, c.hidden_size, name='token_embedding')
    places = self.param(
      'position_embedding',
      nn.initializers.normal(0.02),
      (c.max_position_embeddings, c.hidden_size),
    )
    length = tokens.shape[1]
    x = (embed(tokens) + places[None, :length]).astype(dtype)
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
        'Preprocess them for this tower.'
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
    first = self.param('class_embedding', normal, (c.hidden_size,))
    places = self.param(
      'position_embedding', normal, (tokens.shape[1] + 1, c.hidden_size)
    )
    first = jnp.broadcast_to(first, (images.shape[0], 1, c.hidden_size))
    x = jnp.concatenate([first.astype(dtype), tokens], 1)
    x = x + places.astype(dtype)[None]
    x = _norm(c, dtype, 'pre_layernorm')(x)
    x = _layers(c, self.compute, 0, c.num_hidden_layers, x, None)
    x = _norm(c, dtype, 'post_layernorm')(x[:, 0])
    return Linear(c.projection_dim, False, name='visual_projection')(x)


class ClipLayer(nn.Module):
  """Attention and MLP, each after its norm and added to its input."""

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


def eos_positions(tokens: Array, end: int) -> Array:
  """Where each text ends, [B, L] -> [B]: the token whose state is pooled.

  The first token `end`; where a config has the old value 2, which no text
  holds, the first of the largest id.
  """
  if end == OLD_END:
    return jnp.argmax(tokens, -1)
  return jnp.argmax(tokens == end, -1)


def _layers(config, compute: Compute, first: int, count: int, x, mask):
  layers = stack(ClipLayer, count, compute)
  return layers(config, compute, name=f'layers_{first}')(x, mask)[0]


def _norm(config, dtype, name: str) -> nn.LayerNorm:
  return nn.LayerNorm(
    config.layer_norm_eps, dtype=dtype, use_fast_variance=False, name=name
  )
