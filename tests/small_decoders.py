"""The smallest configs of each kind of decoder that show all they differ in."""

import dataclasses

from adrpo_jax.models.decoder.decoder import DecoderConfig
from adrpo_jax.models.decoder.rope import Llama3Scaling

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
LLAMA = dataclasses.replace(
  QWEN2,
  attention_bias=False,
  rope_scaling=Llama3Scaling(factor=8.0, original_max_position_embeddings=16),
)
