"""The weight table of Hugging Face's decoders: Llama, Qwen2 and Qwen3."""

from adrpo_jax.models.files.weight_table import Row, linear, norm

# Tensors that are not read: buffers of old files, and the second copy of a tied
# embedding.
BUFFERS = r'rotary_emb\.inv_freq$'
TIED = rf'{BUFFERS}|^lm_head\.weight$'

_MODEL = r'params/(decoder/)?'
_LAYER = rf'{_MODEL}layers_(?P<first>\d+)'
_THEIR_LAYER = 'model.layers.{layer}'


def decoder_rows() -> tuple[Row, ...]:
  """The table of `Decoder` (`...ForCausalLM`) and of `Scorer` around it."""
  return (
    Row(rf'{_MODEL}embed_tokens/embedding', 'model.embed_tokens.weight'),
    *norm(
      rf'{_LAYER}/(?P<name>input_layernorm|post_attention_layernorm)',
      f'{_THEIR_LAYER}.{{name}}',
    ),
    *norm(
      rf'{_LAYER}/(?P<name>[qk]_norm)', f'{_THEIR_LAYER}.self_attn.{{name}}'
    ),
    *linear(
      rf'{_LAYER}/(?P<name>[qkvo]_proj)', f'{_THEIR_LAYER}.self_attn.{{name}}'
    ),
    *linear(
      rf'{_LAYER}/(?P<name>gate_proj|up_proj|down_proj)',
      f'{_THEIR_LAYER}.mlp.{{name}}',
    ),
    *norm(rf'{_MODEL}norm', 'model.norm'),
    Row('params/output_embedding', 'lm_head.weight'),
    *linear('params/score', 'score'),
  )
