"""A decoder as the functions that language asks of a model."""

import dataclasses

import jax.numpy as jnp

from adrpo_jax.modalities.language import LanguageModel
from adrpo_jax.models.decoder import (
  Cache,
  Decoder,
  output_embedding,
  positions_of,
)
from adrpo_jax.models.log_probs import logits
from adrpo_jax.sampling.decoding import Reader
from adrpo_jax.types import Array, PyTree


def language_model(module: Decoder) -> LanguageModel:
  """Of full parameters, {'params': ...}; prompts are padded on the left.

  For single tokens layers are unrolled, whatever the module says: a loop would
  copy each layer's cache out of that of all, which takes longer than the rest.
  """
  straight = dataclasses.replace(module.compute, unroll=True)
  stepping = Decoder(module.config, straight)

  def states(params: PyTree, tokens: Array, mask: Array) -> Array:
    return module.apply(params, tokens, positions_of(mask), mask)

  def reader(params: PyTree) -> Reader:
    def prefill(tokens, mask, slots):
      found, cache = module.apply(
        params, tokens, positions_of(mask), mask, slots, method='prefill'
      )
      return found[:, -1], cache

    def extend(tokens, alive, cache):
      positions = cache.seen.sum(1)  # as many as there are real tokens before
      found, cache = stepping.apply(
        params,
        *(rows[:, None] for rows in (tokens, positions, alive)),
        cache,
        method='extend',
      )
      return found[:, 0], cache

    return Reader(
      prefill=prefill,
      extend=extend,
      logits=lambda found: logits(found, output_embedding(params)),
      repeat=repeated,
    )

  return LanguageModel(reader, states, output_embedding)


def repeated(cache: Cache, times: int) -> Cache:
  """A cache of P rows -> of P·G rows, G = `times` of each after another."""
  keys, values = (
    jnp.repeat(leaf, times, 1) for leaf in (cache.keys, cache.values)
  )
  seen = jnp.repeat(cache.seen, times, 0)
  return Cache(keys, values, seen, cache.length)
