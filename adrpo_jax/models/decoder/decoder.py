"""The decoders of Qwen2, Qwen2.5 and Qwen3 (dense).

Each layer: RMSNorm, causal attention with rotary positions and fewer heads of
keys than of queries, RMSNorm, gated MLP. Qwen2 has biases on q, k and v; Qwen3
has none and normalizes every head of q and k. Yang et al., `Qwen2.5 Technical
Report <https://arxiv.org/abs/2412.15115>`_, 2024, and `Qwen3 Technical Report
<https://arxiv.org/abs/2505.09388>`_, 2025.

Positions are told, not counted: rows may be padded on either side, and a mask
says which tokens are real. A token sees the real ones up to itself, by their
place in the row. What is not real is read as token 0, seen by nobody.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.models.attention import Causal
from adrpo_jax.models.compute import Compute, stack
from adrpo_jax.models.layers import Linear
from adrpo_jax.types import Array, PyTree


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
  """Sizes, by Hugging Face's names; see `qwen.RELEASED` for real ones.

  attention_bias: of q, k and v; o has none.
  qk_norm: an RMSNorm over the features of each head of q and k.
  """

  vocab_size: int
  hidden_size: int
  intermediate_size: int
  num_hidden_layers: int
  num_attention_heads: int
  num_key_value_heads: int
  head_dim: int
  rms_norm_eps: float
  rope_theta: float
  tie_word_embeddings: bool
  attention_bias: bool
  qk_norm: bool


class Past(NamedTuple):
  """What the layers keep of the tokens read so far, with room for more.

  keys, values: [layers, B, kv heads, M, head_dim], M slots
  """

  keys: Any
  values: Any


class Decoder(nn.Module):
  """(tokens, positions, mask), all [B, L] -> last states [B, L, D], normalized.

  `output_embedding` and `log_probs.logits` make logits of them. For sampling
  see `cached_decoder`.
  """

  config: DecoderConfig
  compute: Compute = Compute()

  def setup(self):
    c = self.config
    self.embed_tokens = nn.Embed(c.vocab_size, c.hidden_size)
    if not c.tie_word_embeddings:
      self.output_embedding = self.param(
        'output_embedding',
        nn.initializers.normal(0.02),
        (c.vocab_size, c.hidden_size),
      )
    layers = stack(DecoderLayer, c.num_hidden_layers, self.compute)
    self.layers_0 = layers(c, self.compute)
    self.norm = norm(c, self.compute.dtype)

  def __call__(self, tokens: Array, positions: Array, mask: Array) -> Array:
    """The full pass, as for training.

    Args:
      tokens: [B, L].
      positions: [B, L], see `positions_of`.
      mask: [B, L] bool, True where a token is real.
    """
    c = self.config
    x = embedded(self.compute, self.embed_tokens, tokens, mask)
    turns = rotary(positions, c.head_dim, c.rope_theta)
    x, _ = self.layers_0(x, turns, Causal(mask))
    return self.norm(x)


class DecoderLayer(nn.Module):
  """Attention and gated MLP, each after its norm and added to its input.

  It makes (x, past) of x. A past that is given gets the keys and values of x,
  `at` (layer, first slot).
  """

  config: DecoderConfig
  compute: Compute

  @nn.compact
  def __call__(self, x, turns, visible, past=None, at=(0, 0)):
    c = self.config
    y = norm(c, x.dtype, 'input_layernorm')(x)
    q, k, v = (
      Linear(heads * c.head_dim, c.attention_bias, name=f'{n}_proj')(y).reshape(
        *x.shape[:2], heads, c.head_dim
      )
      for n, heads in (
        ('q', c.num_attention_heads),
        ('k', c.num_key_value_heads),
        ('v', c.num_key_value_heads),
      )
    )
    if c.qk_norm:
      q = norm(c, x.dtype, 'q_norm')(q)
      k = norm(c, x.dtype, 'k_norm')(k)
    q, k = turned(q, turns), turned(k, turns)
    if past is not None:
      past = _written(past, k, v, at)
      if not isinstance(visible, Causal):  # Slots that were written before too.
        k, v = (kept[at[0]].swapaxes(1, 2) for kept in past)
    mixed = self.compute.attention(q, k, v, visible)
    x = x + Linear(c.hidden_size, False, name='o_proj')(mixed)
    y = norm(c, x.dtype, 'post_attention_layernorm')(x)
    gate = nn.silu(Linear(c.intermediate_size, False, name='gate_proj')(y))
    y = gate * Linear(c.intermediate_size, False, name='up_proj')(y)
    x = x + Linear(c.hidden_size, False, name='down_proj')(y)
    return self.compute.constrain(x), past


class Scorer(nn.Module):
  """(tokens, positions, mask), all [B, L] -> scores [B] float32.

  One number of the state of the last real token (`...ForSequenceClassification`
  with one label): a reward model.
  """

  config: DecoderConfig
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, tokens: Array, positions: Array, mask: Array) -> Array:
    # There is no output embedding, hence none beside the input's.
    trunk = dataclasses.replace(self.config, tie_word_embeddings=True)
    states = Decoder(trunk, self.compute, name='decoder')(
      tokens, positions, mask
    )
    last = last_real(mask)[:, None, None]
    final = jnp.take_along_axis(states, last, 1)[:, 0].astype(jnp.float32)
    return Linear(1, False, name='score')(final)[:, 0]


def positions_of(mask: Array) -> Array:
  """Positions that count real tokens alone: [B, L] -> [B, L]."""
  return jnp.maximum(jnp.cumsum(mask, -1) - 1, 0)


def last_real(mask: Array) -> Array:
  """The place of the last real token of each row: [B, L] -> [B]."""
  return mask.shape[1] - 1 - jnp.argmax(jnp.asarray(mask)[:, ::-1], -1)


def output_embedding(params: PyTree) -> Array:
  """[V, D], from a decoder's {'params': ...}: its own, or that of the input."""
  held = params['params']
  if 'output_embedding' in held:
    return held['output_embedding']
  return held['embed_tokens']['embedding']


def rotary(
  positions: Array, features: int, theta: float
) -> tuple[Array, Array]:
  """cos and sin of position · θ^(−2i/d), [B, L, 1, d/2] each, float32."""
  rates = theta ** (-np.arange(0, features, 2) / features)
  angles = positions.astype(jnp.float32)[:, :, None, None] * jnp.asarray(
    rates[None, None, None], jnp.float32
  )
  return jnp.cos(angles), jnp.sin(angles)


def turned(x: Array, turns: tuple[Array, Array]) -> Array:
  """Turns each pair (x_i, x_{i + d/2}) of [B, L, heads, d] by its angle."""
  cos, sin = turns
  first, second = jnp.split(x.astype(jnp.float32), 2, -1)
  pairs = (first * cos - second * sin, second * cos + first * sin)
  return jnp.concatenate(pairs, -1).astype(x.dtype)


def embedded(
  compute: Compute, embed: nn.Embed, tokens: Array, mask: Array
) -> Array:
  """What the first layer reads: tokens and mask [B, L] -> [B, L, D]."""
  x = embed(jnp.where(mask, tokens, 0))
  return compute.constrain(x.astype(compute.dtype))


def norm(
  config: DecoderConfig, dtype: Any, name: str | None = None
) -> nn.RMSNorm:
  """RMSNorm with the config's ε, in float32."""
  return nn.RMSNorm(
    config.rms_norm_eps, dtype=dtype, use_fast_variance=False, name=name
  )


def _written(past: Past, k: Array, v: Array, at: tuple[int, Array]) -> Past:
  """The past with a layer's k and v, [B, L, kv heads, head_dim]."""
  layer, slot = at
  place = layer, 0, 0, slot, 0

  def written(kept: Array, new: Array) -> Array:
    new = new.swapaxes(1, 2)[None].astype(kept.dtype)
    return jax.lax.dynamic_update_slice(kept, new, place)

  return Past(written(past.keys, k), written(past.values, v))
