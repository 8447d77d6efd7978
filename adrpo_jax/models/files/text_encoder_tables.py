"""The weight tables of Hugging Face's CLIP towers and T5 encoder."""

from adrpo_jax.models.files.weight_table import CONV2D, Row, linear, norm


def clip_text_rows(prefix: str = 'text_model.') -> tuple[Row, ...]:
  """The table of `ClipText`. Files of plain text models have no prefix."""
  embeddings = f'{prefix}embeddings'
  return (
    Row(
      'params/token_embedding/embedding', f'{embeddings}.token_embedding.weight'
    ),
    Row('params/position_embedding', f'{embeddings}.position_embedding.weight'),
    *_clip_layers(prefix),
    *norm('params/final_layer_norm', f'{prefix}final_layer_norm'),
    *linear('params/text_projection', 'text_projection'),
  )


def clip_vision_rows(prefix: str = 'vision_model.') -> tuple[Row, ...]:
  """The table of `ClipVision`."""
  embeddings = f'{prefix}embeddings'
  return (
    Row('params/class_embedding', f'{embeddings}.class_embedding'),
    Row(
      'params/patch_embedding/kernel',
      f'{embeddings}.patch_embedding.weight',
      CONV2D,
    ),
    Row('params/position_embedding', f'{embeddings}.position_embedding.weight'),
    *norm('params/pre_layernorm', f'{prefix}pre_layrnorm'),  # their spelling
    *_clip_layers(prefix),
    *norm('params/post_layernorm', f'{prefix}post_layernorm'),
    *linear('params/visual_projection', 'visual_projection'),
  )


def t5_rows() -> tuple[Row, ...]:
  """The table of `T5Encoder`."""
  block, theirs = r'params/block_(?P<first>\d+)', 'encoder.block.{layer}.layer'
  bias = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight'
  return (
    Row('params/shared/embedding', 'shared.weight'),
    Row('params/relative_attention_bias', bias),
    *norm(f'{block}/attention_norm', f'{theirs}.0.layer_norm'),
    *linear(f'{block}/(?P<name>[qkvo])', f'{theirs}.0.SelfAttention.{{name}}'),
    *norm(f'{block}/mlp_norm', f'{theirs}.1.layer_norm'),
    *linear(
      f'{block}/(?P<name>wi_0|wi_1|wo)', f'{theirs}.1.DenseReluDense.{{name}}'
    ),
    *norm('params/final_layer_norm', 'encoder.final_layer_norm'),
  )


def _clip_layers(prefix: str) -> tuple[Row, ...]:
  block = r'params/layers_(?P<first>\d+)'
  theirs = f'{prefix}encoder.layers.{{layer}}'
  return (
    *norm(rf'{block}/(?P<name>layer_norm[12])', f'{theirs}.{{name}}'),
    *linear(
      rf'{block}/(?P<name>q_proj|k_proj|v_proj|out_proj)',
      f'{theirs}.self_attn.{{name}}',
    ),
    *linear(rf'{block}/(?P<name>fc[12])', f'{theirs}.mlp.{{name}}'),
  )
