"""A decoder as the functions of a language model."""

import jax.numpy as jnp
import numpy as np

from adrpo_jax.modalities.language import (
  FeaturesOf,
  LanguageModel,
  PromptFeatures,
  no_features,
)
from adrpo_jax.models.attention_masks import Branches
from adrpo_jax.models.decoder.cached_decoder import (
  CachedDecoder,
  empty_cache,
  fill_cache,
  repeat_cache,
  take_cache,
  unstack_layers,
)
from adrpo_jax.models.decoder.decoder import (
  Decoder,
  output_embedding,
  position_ids,
)
from adrpo_jax.models.decoder.log_probs import logits, logits_of_known
from adrpo_jax.sampling.decoding import DecodeFns
from adrpo_jax.types import Array, PyTree


def language_model(
  module: Decoder,
  known: np.ndarray | None = None,
  features_of: FeaturesOf = no_features,
) -> LanguageModel:
  """Makes the functions of a decoder with full parameters {'params': ...}.

  Prompts are padded on the left.

  Args:
    module: the decoder.
    known: [V] bool, the rows of the vocabulary that a token has; by default
      all. The others have probability 0.
    features_of: what stands in place of words in prompts.
  """
  cached = CachedDecoder(module.config, module.compute)
  head = logits if known is None or known.all() else logits_of_known(known)

  def states(
    params: PyTree,
    tokens: Array,
    mask: Array,
    features: PromptFeatures | None = None,
    branches: Branches | None = None,
  ) -> Array:
    return module.apply(
      params,
      tokens,
      position_ids(mask, branches),
      mask,
      *_over_rows(features, tokens),
      branches,
    )

  def decode_fns(
    params: PyTree, features: PromptFeatures | None = None
  ) -> DecodeFns:
    layers = unstack_layers(params)

    def prefill(tokens, mask, slots):
      hidden, cache = cached.apply(
        layers,
        tokens,
        position_ids(mask),
        mask,
        slots,
        *_over_rows(features, tokens),
        method='prefill',
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
      logits=lambda hidden: head(hidden, output_embedding(params)),
      repeat=repeat_cache,
      empty=empty_cache,
      fill=fill_cache,
      take=take_cache,
      seek=lambda cache, slot: cache._replace(length=slot),
    )

  return LanguageModel(decode_fns, states, output_embedding, head, features_of)


def _over_rows(
  features: PromptFeatures | None, tokens: Array
) -> tuple[Array | None, Array | None]:
  """Returns features, and their places in rows of prompt and completion.

  A completion has words only, whatever its tokens: places [P, L] become
  [B, L + T], −1 behind the prompt.
  """
  if features is None:
    return None, None
  values, places = features
  rows, length = tokens.shape
  words = ((0, 0), (0, length - places.shape[1]))
  places = jnp.pad(places, words, constant_values=-1)
  return values, jnp.repeat(places, rows // len(places), 0)
