"""A decoder as the functions that language asks of a model."""

from adrpo_jax.modalities.language import LanguageModel
from adrpo_jax.models.decoder.cached_decoder import (
  CachedDecoder,
  layers_apart,
  repeated,
)
from adrpo_jax.models.decoder.decoder import (
  Decoder,
  output_embedding,
  positions_of,
)
from adrpo_jax.models.decoder.log_probs import logits
from adrpo_jax.sampling.decoding import Reader
from adrpo_jax.types import Array, PyTree


def language_model(module: Decoder) -> LanguageModel:
  """Of full parameters, {'params': ...}; prompts are padded on the left."""
  cached = CachedDecoder(module.config, module.compute)

  def states(params: PyTree, tokens: Array, mask: Array) -> Array:
    return module.apply(params, tokens, positions_of(mask), mask)

  def reader(params: PyTree) -> Reader:
    apart = layers_apart(params)

    def prefill(tokens, mask, slots):
      found, cache = cached.apply(
        apart, tokens, positions_of(mask), mask, slots, method='prefill'
      )
      return found[:, -1], cache

    def extend(tokens, alive, cache):
      positions = cache.seen.sum(1)  # as many as there are real tokens before
      found, cache = cached.apply(
        apart,
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
