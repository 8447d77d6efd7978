"""Samples of a language model that say given texts, of the sort world."""

import jax.numpy as jnp
import numpy as np

from adrpo_jax.worlds.sort_tokenizer import SPECIAL, VOCABULARY

EOS = VOCABULARY.index('<eos>')


def decode(ids):
  """As `tokenizers.text_decoder` a folder of the sort world."""
  return ''.join(VOCABULARY[i] for i in ids if i >= len(SPECIAL))


def samples(texts, longest=12):
  """texts [P][G] -> samples; one too long for its end token is not ended.

  What stands behind an end is a digit, drawn with no log-probability at all.
  """
  shape = len(texts), len(texts[0]), longest
  tokens = np.full(shape, VOCABULARY.index('7'), np.int32)
  mask = np.zeros(shape, bool)
  ended = np.zeros(shape[:2], bool)
  for place in np.ndindex(*shape[:2]):
    text = texts[place[0]][place[1]]
    ids = [*map(VOCABULARY.index, text), EOS]
    ended[place] = len(ids) <= longest
    ids = ids[:longest]
    tokens[place][: len(ids)], mask[place][: len(ids)] = ids, True
  return {
    'tokens': jnp.asarray(tokens),
    'mask': jnp.asarray(mask),
    'log_prob': jnp.where(mask, -1.0, jnp.nan),
    'ended': jnp.asarray(ended),
  }
