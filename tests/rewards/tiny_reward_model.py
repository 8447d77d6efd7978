"""A random Qwen3 with a score head, that reads the sort world's tokens."""

import pathlib

import jax
import numpy as np

from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder, DecoderConfig, Scorer
from adrpo_jax.worlds import sort_tokenizer

CONFIG = DecoderConfig(
  vocab_size=len(sort_tokenizer.VOCABULARY),
  hidden_size=16,
  intermediate_size=24,
  num_hidden_layers=2,
  num_attention_heads=4,
  num_key_value_heads=2,
  head_dim=6,
  rms_norm_eps=1e-6,
  rope_theta=1e4,
  tie_word_embeddings=False,
  attention_bias=False,
  qk_norm=True,
)


def write(folder: pathlib.Path, kind=Scorer) -> str:
  """Config, weights and tokenizer; of a `Decoder` there is no score head."""
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype),
    decoder_folder.param_shapes(kind(CONFIG)),
  )
  decoder_folder.save(folder, decoder_folder.config_fields(CONFIG), params)
  sort_tokenizer.write_tokenizer(folder)
  return str(folder)


def write_language_model(folder: pathlib.Path) -> str:
  """Writes the model without a score head."""
  return write(folder, Decoder)
