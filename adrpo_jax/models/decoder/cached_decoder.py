"""A decoder that keeps what it has read: the model of a loop of sampling.

The parameters of its layers lie apart: out of a stack a loop over tokens would
copy those of every layer for every token. The cache is a stack. Layers' caches
of their own, where one fits on the chip, a TPU would bring there and back in
order to write a token.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from adrpo_jax.models.attention import Causal
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder.decoder import (
  DecoderConfig,
  DecoderLayer,
  Past,
  embedded,
  norm,
  rotary,
)
from adrpo_jax.types import Array, PyTree


class Cache(NamedTuple):
  """Keys and values of the tokens read so far, and room for more.

  All rows fill the same slots; padding takes slots too, but is not seen.

  past:   keys and values, in M slots
  seen:   [B, M] bool, slots that hold a real token
  length: slots in use, an int32
  """

  past: Past
  seen: Any
  length: Any


class CachedDecoder(nn.Module):
  """`Decoder`, of `layers_apart(params)`: same tokens, same last states."""

  config: DecoderConfig
  compute: Compute = Compute()

  def setup(self):
    c = self.config
    self.embed_tokens = nn.Embed(c.vocab_size, c.hidden_size)
    self.layers = [
      DecoderLayer(c, self.compute) for _ in range(c.num_hidden_layers)
    ]
    self.norm = norm(c, self.compute.dtype)

  def prefill(
    self, tokens: Array, positions: Array, mask: Array, slots: int
  ) -> tuple[Array, Cache]:
    """Reads prompts [B, L] into a new cache of that many slots, at least L."""
    batch, length = tokens.shape
    c = self.config
    shape = batch, c.num_key_value_heads, slots, c.head_dim
    empty = jnp.zeros((c.num_hidden_layers, *shape), self.compute.dtype)
    cache = Cache(
      past=Past(keys=empty, values=empty),
      seen=jnp.pad(mask.astype(bool), ((0, 0), (0, slots - length))),
      length=jnp.int32(0),
    )
    return self._read(tokens, positions, mask, Causal(mask), cache)

  def extend(
    self, tokens: Array, positions: Array, mask: Array, cache: Cache
  ) -> tuple[Array, Cache]:
    """Reads L further tokens, often one; there must be L slots left."""
    seen = jax.lax.dynamic_update_slice(
      cache.seen, mask.astype(bool), (0, cache.length)
    )
    visible = _visible(seen, cache.length, tokens.shape[1])
    cache = cache._replace(seen=seen)
    return self._read(tokens, positions, mask, visible, cache)

  def _read(self, tokens, positions, mask, visible, cache):
    c = self.config
    x = embedded(self.compute, self.embed_tokens, tokens, mask)
    turns = rotary(positions, c.head_dim, c.rope_theta)
    past = cache.past
    for i, layer in enumerate(self.layers):
      x, past = layer(x, turns, visible, past, (i, cache.length))
    length = cache.length + tokens.shape[1]
    return self.norm(x), Cache(past, cache.seen, length)


def layers_apart(params: PyTree) -> PyTree:
  """A decoder's {'params': ...} with each layer's arrays on their own."""
  held = dict(params['params'])
  layers = held.pop('layers_0')
  count = len(jax.tree.leaves(layers)[0])
  apart = {
    f'layers_{i}': jax.tree.map(lambda leaf, i=i: leaf[i], layers)
    for i in range(count)
  }
  return {'params': held | apart}


def repeated(cache: Cache, times: int) -> Cache:
  """A cache of P rows -> of P·G rows, G = `times` of each after another."""
  past = Past(*(jnp.repeat(kept, times, 1) for kept in cache.past))
  return Cache(past, jnp.repeat(cache.seen, times, 0), cache.length)


def _visible(seen: Array, start: Array | int, length: int) -> Array:
  """[B, 1, L, M]: which of M slots each of L tokens from `start` on sees."""
  slots = jnp.arange(seen.shape[1])[None]
  reached = slots <= start + jnp.arange(length)[:, None]
  return (reached[None] & seen[:, None].astype(bool))[:, None]
