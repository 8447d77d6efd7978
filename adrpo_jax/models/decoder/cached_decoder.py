"""A decoder with a cache of keys and values, for the sampling loop.

The parameters of each layer are separate arrays here. If they were stacked, a
loop over tokens would copy the parameters of every layer for every token. The
cache, however, is one stack over the layers: if each layer had its own cache,
and one of them fit on the chip, a TPU would move it there and back just to
write one token.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from adrpo_jax.models.attention_masks import Causal
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder.decoder import (
  DecoderConfig,
  DecoderLayer,
  KeyValues,
  input_embeddings,
  rope_cos_sin,
)
from adrpo_jax.models.layers import rms_norm
from adrpo_jax.types import Array, PyTree


class Cache(NamedTuple):
  """Keys and values of the tokens so far, with free slots for more.

  All rows fill the same slots. Padding takes up slots too, but no token attends
  to it.

  key_values: keys and values, in M slots
  mask:       [B, M] bool, True for slots that hold a real token
  length:     the number of slots in use, an int32
  """

  key_values: KeyValues
  mask: Any
  length: Any


class CachedDecoder(nn.Module):
  """A `Decoder` with a cache; its parameters are `unstack_layers(params)`.

  It returns the same last states as `Decoder` for the same tokens.
  """

  config: DecoderConfig
  compute: Compute = Compute()

  def setup(self):
    c = self.config
    self.embed_tokens = nn.Embed(c.vocab_size, c.hidden_size)
    self.layers = [
      DecoderLayer(c, self.compute) for _ in range(c.num_hidden_layers)
    ]
    self.norm = rms_norm(None, self.compute.dtype, c.rms_norm_eps)

  def prefill(
    self,
    tokens: Array,
    positions: Array,
    mask: Array,
    slots: int,
    features: Array | None = None,
    places: Array | None = None,
  ) -> tuple[Array, Cache]:
    """Processes prompts [B, L] and makes a cache of `slots` ≥ L slots.

    `decoder.input_embeddings` describes `features` and `places`.
    """
    batch, length = tokens.shape
    c = self.config
    shape = batch, c.num_key_value_heads, slots, c.head_dim
    empty = jnp.zeros((c.num_hidden_layers, *shape), self.compute.dtype)
    cache = Cache(
      key_values=KeyValues(keys=empty, values=empty),
      mask=jnp.pad(mask.astype(bool), ((0, 0), (0, slots - length))),
      length=jnp.int32(0),
    )
    x = self._embedded(tokens, mask, features, places)
    return self._forward(x, positions, Causal(mask), cache)

  def extend(
    self, tokens: Array, positions: Array, mask: Array, cache: Cache
  ) -> tuple[Array, Cache]:
    """Processes L further tokens, often one; L slots must be free."""
    cache_mask = jax.lax.dynamic_update_slice(
      cache.mask, mask.astype(bool), (0, cache.length)
    )
    attention_mask = _attention_mask(cache_mask, cache.length, tokens.shape[1])
    cache = cache._replace(mask=cache_mask)
    x = self._embedded(tokens, mask)
    return self._forward(x, positions, attention_mask, cache)

  def _embedded(self, tokens, mask, features=None, places=None):
    return input_embeddings(
      self.compute, self.embed_tokens, tokens, mask, features, places
    )

  def _forward(self, x, positions, attention_mask, cache):
    c = self.config
    rope = rope_cos_sin(positions, c.rope_rates())
    key_values = cache.key_values
    for i, layer in enumerate(self.layers):
      x, key_values = layer(
        x, rope, attention_mask, key_values, (i, cache.length)
      )
    length = cache.length + x.shape[1]
    return self.norm(x), Cache(key_values, cache.mask, length)


def unstack_layers(params: PyTree) -> PyTree:
  """Returns a decoder's {'params': ...} with separate arrays for each layer."""
  weights = dict(params['params'])
  stacked = weights.pop('layers_0')
  count = len(jax.tree.leaves(stacked)[0])
  layers = {
    f'layers_{i}': jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
    for i in range(count)
  }
  return {'params': weights | layers}


def repeat_cache(cache: Cache, times: int) -> Cache:
  """Repeats each of P rows G = `times` times in succession: P·G rows."""
  key_values = KeyValues(
    *(jnp.repeat(array, times, 1) for array in cache.key_values)
  )
  return Cache(key_values, jnp.repeat(cache.mask, times, 0), cache.length)


def empty_cache(like: Cache, rows: int, slots: int) -> Cache:
  """Makes a cache of `rows` rows with free slots, for the model of another."""
  layers, _, heads, _, features = like.key_values.keys.shape
  empty = jnp.zeros(
    (layers, rows, heads, slots, features), like.key_values.keys.dtype
  )
  mask = jnp.zeros((rows, slots), bool)
  return Cache(KeyValues(empty, empty), mask, jnp.int32(0))


def take_cache(cache: Cache, index: Array) -> Cache:
  """Takes the rows of each shard that `index` [S, n] names: S·n rows.

  The rows of a shard follow each other.
  """

  def taken(array: Array, axis: int) -> Array:
    lead, tail = array.shape[:axis], array.shape[axis + 1 :]
    split = array.reshape(*lead, len(index), -1, *tail)
    take = jax.vmap(
      lambda shard, own: jnp.take(shard, own, axis), (axis, 0), axis
    )
    return take(split, index).reshape(*lead, -1, *tail)

  key_values = KeyValues(*(taken(array, 1) for array in cache.key_values))
  return Cache(key_values, taken(cache.mask, 0), cache.length)


def fill_cache(
  cache: Cache, prompts: Cache, index: Array, takes: Array
) -> Cache:
  """Replaces rows by those of prompts, whose slots come first; see `DecodeFns`.

  The other slots of these rows are free.
  """
  new, rows = take_cache(prompts, index), takes.reshape(-1)

  def replaced(old: Array, new: Array) -> Array:
    first = jnp.where(
      rows[:, None, None, None], new, old[:, :, :, : new.shape[3]]
    )
    return jax.lax.dynamic_update_slice(old, first, (0,) * old.ndim)

  free = cache.mask.shape[1] - new.mask.shape[1]
  mask = jnp.pad(new.mask, ((0, 0), (0, free)))
  return Cache(
    KeyValues(*map(replaced, cache.key_values, new.key_values)),
    jnp.where(rows[:, None], mask, cache.mask),
    cache.length,
  )


def _attention_mask(mask: Array, start: Array | int, length: int) -> Array:
  """[B, 1, L, M]: which of M slots each of L tokens from `start` attends to.

  Slots behind these tokens are free, or hold earlier tokens of a ring.
  """
  slots, own = jnp.arange(mask.shape[1])[None], jnp.arange(length)[:, None]
  later = (slots > start + own) & (slots < start + length)
  return (~later[None] & mask[:, None].astype(bool))[:, None]
