"""The prompt encoder: a small bidirectional transformer over word tokens.

It returns what SD3's transformer takes from its text encoders: a sequence of
states and a pooled vector for each prompt. Token 0 is padding and is not
attended to. A prompt that is all padding is the empty prompt of classifier-free
guidance.
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from adrpo_jax.models import attention
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.config_types import Layers, Size, check_multiple
from adrpo_jax.models.layers import Linear
from adrpo_jax.types import Array


@dataclasses.dataclass(frozen=True)
class TextEncoderConfig:
  """Sizes of the encoder; `length` is the number of tokens of a prompt."""

  vocabulary: Size
  length: Size
  width: Size = 96
  layers: Layers = 2
  heads: Size = 4

  def __post_init__(self):
    check_multiple('width', self.width, 'heads', self.heads)


class TextEncoder(nn.Module):
  """tokens [B, L] int32 -> Condition."""

  config: TextEncoderConfig

  @nn.compact
  def __call__(self, tokens: Array) -> Condition:
    c = self.config
    embed = nn.Embed(c.vocabulary, c.width, name='token_embedding')
    positions = self.param(
      'position_embedding',
      nn.initializers.normal(0.02),
      (c.length, c.width),
    )
    x = embed(tokens) + positions[None]
    # The first position is always attended to: the softmax of an empty prompt
    # would not be defined otherwise.
    mask = (jnp.asarray(tokens) > 0).at[:, 0].set(True)
    for layer in range(c.layers):
      y = _norm(f'norm1_{layer}')(x)
      q, k, v = (
        Linear(c.width, name=f'{n}_proj_{layer}')(y).reshape(
          *y.shape[:2], c.heads, -1
        )
        for n in 'qkv'
      )
      y = attention.xla(q, k, v, mask[:, None, None, :])
      x = x + Linear(c.width, name=f'out_proj_{layer}')(y)
      y = Linear(4 * c.width, name=f'fc1_{layer}')(_norm(f'norm2_{layer}')(x))
      x = x + Linear(c.width, name=f'fc2_{layer}')(nn.gelu(y))
    x = _norm('final_norm')(x)
    weights = mask / mask.sum(-1, keepdims=True)
    return Condition(x, jnp.einsum('bl,bld->bd', weights.astype(x.dtype), x))


def _norm(name: str) -> nn.LayerNorm:
  return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)
