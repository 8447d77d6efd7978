"""The decoders of Llama, Qwen2, Qwen2.5 and Qwen3 (dense).

A layer consists of RMSNorm, causal attention with rotary position embeddings
and grouped queries (fewer heads of keys and values than of queries), RMSNorm,
and a gated MLP. Llama is just that; Qwen2 has biases on q, k and v; Qwen3 has
none and normalizes every head of q and k. Touvron et al., `LLaMA
<https://arxiv.org/abs/2302.13971>`_, 2023; Yang et al., `Qwen2.5 Technical
Report <https://arxiv.org/abs/2412.15115>`_, 2024, and `Qwen3 Technical Report
<https://arxiv.org/abs/2505.09388>`_, 2025.

Positions are an argument. Rows may be padded on either side, and a mask says
which tokens are real. A token attends to itself and to the real tokens that
stand before it in its row. Padding is read as token 0, and no real token
attends to it.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.models.attention_masks import Branches, Branching, Causal
from adrpo_jax.models.compute import Compute, stack
from adrpo_jax.models.config_types import (
  Epsilon,
  Layers,
  Size,
  Theta,
  check_multiple,
)
from adrpo_jax.models.decoder.rope import (
  PLAIN,
  Llama3Scaling,
  apply_rope,
  rope_cos_sin,
  rope_rates,
)
from adrpo_jax.models.layers import Linear, rms_norm
from adrpo_jax.types import Array, PyTree


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
  """Sizes under Hugging Face's names; see `architectures` for examples.

  attention_bias: q, k and v have a bias; o has none in either case.
  qk_norm: each head of q and k has an RMSNorm over its features.
  rope_scaling: see `rope`.
  """

  vocab_size: Size
  hidden_size: Size
  intermediate_size: Size
  num_hidden_layers: Layers
  num_attention_heads: Size
  num_key_value_heads: Size
  head_dim: Size
  rms_norm_eps: Epsilon
  rope_theta: Theta
  tie_word_embeddings: bool
  attention_bias: bool
  qk_norm: bool
  rope_scaling: Llama3Scaling = PLAIN

  def __post_init__(self):
    check_multiple(
      'num_attention_heads',
      self.num_attention_heads,
      'num_key_value_heads',
      self.num_key_value_heads,
    )
    check_multiple('head_dim', self.head_dim, 'the two of a rotation', 2)

  def rope_rates(self) -> np.ndarray:
    """Returns the angles of one position, [head_dim / 2]."""
    return rope_rates(self.head_dim, self.rope_theta, self.rope_scaling)


class KeyValues(NamedTuple):
  """The cached keys and values of all layers, with free slots for more.

  keys, values: [layers, B, kv heads, M, head_dim], M slots
  """

  keys: Any
  values: Any


class Decoder(nn.Module):
  """(tokens, positions, mask), all [B, L] -> last states [B, L, D], normalized.

  `output_embedding` and `log_probs.logits` turn the states into logits. See
  `cached_decoder` for sampling.
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
    self.norm = rms_norm(None, self.compute.dtype, c.rms_norm_eps)

  def __call__(
    self,
    tokens: Array,
    positions: Array,
    mask: Array,
    features: Array | None = None,
    places: Array | None = None,
    branches: Branches | None = None,
  ) -> Array:
    """Computes the states of all positions, as training needs them.

    Args:
      tokens: [B, L].
      positions: [B, L], see `position_ids`.
      mask: [B, L] bool, True where a token is real.
      features: [P, A, D], see `input_embeddings`.
      places: [B, L], see there.
      branches: the layout of rows that are more than one sequence.
    """
    c = self.config
    x = input_embeddings(
      self.compute, self.embed_tokens, tokens, mask, features, places
    )
    rope = rope_cos_sin(positions, c.rope_rates())
    attended = Branching(mask, branches) if branches else Causal(mask)
    x, _ = self.layers_0(x, rope, attended)
    return self.norm(x)


class DecoderLayer(nn.Module):
  """Attention and a gated MLP, each after a norm and with a residual.

  Returns (x, cache). A cache that is passed receives the keys and values of x
  at `cache_index`, which is (layer, first slot).
  """

  config: DecoderConfig
  compute: Compute

  @nn.compact
  def __call__(self, x, rope, mask, cache=None, cache_index=(0, 0)):
    c = self.config
    y = rms_norm('input_layernorm', x.dtype, c.rms_norm_eps)(x)
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
      q = rms_norm('q_norm', x.dtype, c.rms_norm_eps)(q)
      k = rms_norm('k_norm', x.dtype, c.rms_norm_eps)(k)
    q, k = apply_rope(q, rope), apply_rope(k, rope)
    if cache is not None:
      cache = _update_cache(cache, k, v, cache_index)
      if not isinstance(mask, Causal):  # Earlier slots are attended to as well.
        k, v = (array[cache_index[0]].swapaxes(1, 2) for array in cache)
    mixed = self.compute.attention(q, k, v, mask)
    x = x + Linear(c.hidden_size, False, name='o_proj')(mixed)
    y = rms_norm('post_attention_layernorm', x.dtype, c.rms_norm_eps)(x)
    gate = nn.silu(Linear(c.intermediate_size, False, name='gate_proj')(y))
    y = gate * Linear(c.intermediate_size, False, name='up_proj')(y)
    x = x + Linear(c.hidden_size, False, name='down_proj')(y)
    return self.compute.constrain(x), cache


class Scorer(nn.Module):
  """(tokens, positions, mask), all [B, L] -> scores [B] float32.

  A reward model: the score is a linear function of the state of the last real
  token (`...ForSequenceClassification` with one label).
  """

  config: DecoderConfig
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, tokens: Array, positions: Array, mask: Array) -> Array:
    # A scorer has no output embedding, so the trunk must not make one.
    trunk = dataclasses.replace(self.config, tie_word_embeddings=True)
    states = Decoder(trunk, self.compute, name='decoder')(
      tokens, positions, mask
    )
    last = last_token_index(mask)[:, None, None]
    final = jnp.take_along_axis(states, last, 1)[:, 0].astype(jnp.float32)
    return Linear(1, False, name='score')(final)[:, 0]


def position_ids(mask: Array, branches: Branches | None = None) -> Array:
  """Positions that count only real tokens: [B, L] -> [B, L].

  Every branch of a row goes on from the end of the row's prefix.
  """
  if branches is None:
    return jnp.maximum(jnp.cumsum(mask, -1) - 1, 0)
  start = position_ids(mask[:, : branches.prefix])
  rest = position_ids(branches.continued(mask))[:, branches.prefix :]
  return jnp.concatenate([start, rest.reshape(len(mask), -1)], 1)


def last_token_index(mask: Array) -> Array:
  """The index of the last real token of each row: [B, L] -> [B]."""
  return mask.shape[1] - 1 - jnp.argmax(jnp.asarray(mask)[:, ::-1], -1)


def output_embedding(params: PyTree) -> Array:
  """Returns the output embedding [V, D] of a decoder's {'params': ...}.

  A model with tied embeddings uses its input embedding.
  """
  weights = params['params']
  if 'output_embedding' in weights:
    return weights['output_embedding']
  return weights['embed_tokens']['embedding']


def input_embeddings(
  compute: Compute,
  embed: nn.Embed,
  tokens: Array,
  mask: Array,
  features: Array | None = None,
  places: Array | None = None,
) -> Array:
  """The input of the first layer: tokens and mask [B, L] -> [B, L, D].

  Args:
    compute: the dtype and sharding of the result.
    embed: the table of word embeddings.
    tokens: [B, L].
    mask: [B, L] bool, True where a token is real.
    features: [P, A, D], what stands in place of words, such as the tokens of a
      clip. The rows of a prompt follow each other, and each reads the features
      of its prompt, so that these are not repeated. None for text alone.
    places: [B, L], the index in 0 … A−1 of the feature that stands at a
      position, −1 where a word stands.
  """
  x = embed(jnp.where(mask, tokens, 0)).astype(compute.dtype)
  if features is not None and places is not None:
    x = _injected(x, features, places)
  return compute.constrain(x)


def _injected(x: Array, features: Array, places: Array) -> Array:
  """Puts features [P, A, D] in place of the words of x [B, L, D]."""
  of_prompt = places.reshape(len(features), -1, places.shape[-1])
  chosen = jax.vmap(lambda rows, index: rows[index])(
    features, jnp.maximum(of_prompt, 0)
  )
  return jnp.where(
    (places >= 0)[..., None], chosen.reshape(x.shape).astype(x.dtype), x
  )


def _update_cache(
  cache: KeyValues, k: Array, v: Array, cache_index: tuple[int, Array]
) -> KeyValues:
  """Writes k and v of one layer, [B, L, kv heads, head_dim], into the cache."""
  layer, slot = cache_index
  start = layer, 0, 0, slot, 0

  def update(old: Array, new: Array) -> Array:
    new = new.swapaxes(1, 2)[None].astype(old.dtype)
    return jax.lax.dynamic_update_slice(old, new, start)

  return KeyValues(update(cache.keys, k), update(cache.values, v))
