"""The sizes of released models."""

from adrpo_jax.models.decoder.decoder import DecoderConfig

# Configs of released models, for programs that are compiled without weights.
# The numbers are from the config.json of Qwen/Qwen2.5-0.5B, Qwen/Qwen2.5-7B
# (their Instruct versions have the same), Qwen/Qwen3-0.6B and
# HuggingFaceTB/SmolLM2-135M-Instruct on the Hub.
ARCHITECTURES = {
  'qwen2_0p5b': DecoderConfig(
    vocab_size=151936,
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
    head_dim=64,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    tie_word_embeddings=True,
    attention_bias=True,
    qk_norm=False,
  ),
  'qwen2p5_7b': DecoderConfig(
    vocab_size=152064,
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    head_dim=128,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    tie_word_embeddings=False,
    attention_bias=True,
    qk_norm=False,
  ),
  'qwen3_0p6b': DecoderConfig(
    vocab_size=151936,
    hidden_size=1024,
    intermediate_size=3072,
    num_hidden_layers=28,
    num_attention_heads=16,
    num_key_value_heads=8,
    head_dim=128,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    tie_word_embeddings=True,
    attention_bias=False,
    qk_norm=True,
  ),
  'smollm2_135m': DecoderConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    head_dim=64,
    rms_norm_eps=1e-5,
    rope_theta=1e5,
    tie_word_embeddings=True,
    attention_bias=False,
    qk_norm=False,
  ),
}
