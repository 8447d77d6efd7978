"""The smallest configs of Qwen2 and Qwen3 that show all they differ in."""

import dataclasses

from adrpo_jax.models.decoder.decoder import DecoderConfig

QWEN2 = DecoderConfig(
  vocab_size=40,
  hidden_size=16,
  intermediate_size=24,
  num_hidden_layers=2,
  num_attention_heads=4,
  num_key_value_heads=2,
  head_dim=4,
  rms_norm_eps=1e-6,
  rope_theta=1e4,
  tie_word_embeddings=True,
  attention_bias=True,
  qk_norm=False,
)
QWEN3 = dataclasses.replace(
  QWEN2,
  head_dim=6,
  tie_word_embeddings=False,
  attention_bias=False,
  qk_norm=True,
)
