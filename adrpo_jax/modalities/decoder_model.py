"""A decoder as the functions of a language model."""

from adrpo_jax.modalities.language import LanguageModel
from adrpo_jax.models.decoder.cached_decoder import (
  CachedDecoder,
  repeat_cache,
  unstack_layers,
)
from adrpo_jax.models.decoder.decoder import (
  Decoder,
  output_embedding,
  position_ids,
)
from adrpo_jax.models.decoder.log_probs import logits
from adrpo_jax.sampling.decoding import DecodeFns
from adrpo_jax.types import Array, PyTree


def language_model(module: Decoder) -> LanguageModel:
  """Makes the functions of a decoder with full parameters {'params': ...}.

  Prompts are padded on the left.
  """
  cached = CachedDecoder(module.config, module.compute)

  def states(params: PyTree, tokens: Array, mask: Array) -> Array:
    return module.apply(params, tokens, position_ids(mask), mask)

  def decode_fns(params: PyTree) -> DecodeFns:
    layers = unstack_layers(params)

    def prefill(tokens, mask, slots):
      hidden, cache = cached.apply(
        layers, tokens, position_ids(mask), mask, slots, method='prefill'
      )
      return hidden[:, -1], cache

    def extend(tokens, alive, cache):
      positions = cache.mask.sum(1)  # as many as there are real tokens before
      hidden, cache = cached.apply(
        layers,
        *(rows[:, None] for rows in (tokens, positions, alive)),
        cache,
        method='extend',
      )
      return hidden[:, 0], cache

    return DecodeFns(
      prefill=prefill,
      extend=extend,
      logits=lambda hidden: logits(hidden, output_embedding(params)),
      repeat=repeat_cache,
    )

  return LanguageModel(decode_fns, states, output_embedding)
