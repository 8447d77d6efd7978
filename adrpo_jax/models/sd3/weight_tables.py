"""The weight tables of diffusers' SD3 transformer and autoencoder."""

from adrpo_jax.models.files.weight_table import (
  CONV1X1,
  Row,
  conv,
  linear,
  norm,
  patches,
)

_BLOCK = r'params/blocks_(?P<first>\d+)'
_THEIR_BLOCK = 'transformer_blocks.{layer}'


def transformer_rows(patch_size: int) -> tuple[Row, ...]:
  """The table of `MMDiT`, for files of `SD3Transformer2DModel`."""
  attention = (
    (r'(?P<name>to_[qkv]|add_[qkv]_proj|to_add_out)', 'attn.{name}'),
    (r'to_out', 'attn.to_out.0'),
    (r'attn2_(?P<name>to_[qkv])', 'attn2.{name}'),
    (r'attn2_to_out', 'attn2.to_out.0'),
  )
  feed_forward = (
    (r'(?P<name>ff|ff_context)/proj', '{name}.net.0.proj'),
    (r'(?P<name>ff|ff_context)/out', '{name}.net.2'),
  )
  modulation = ((r'(?P<name>norm1|norm1_context)', '{name}.linear'),)
  head_norms = (
    (r'(?P<name>norm_(added_)?[qk])', 'attn.{name}'),
    (r'attn2_(?P<name>norm_[qk])', 'attn2.{name}'),
  )
  return (
    *linear('params/patch_embed', 'pos_embed.proj', patches(patch_size)),
    *linear(
      r'params/(?P<name>timestep|text)_embedder/linear_(?P<i>[12])',
      'time_text_embed.{name}_embedder.linear_{i}',
    ),
    *linear(r'params/(?P<name>context_embedder|proj_out)', '{name}'),
    *linear('params/norm_out', 'norm_out.linear'),
    *(
      row
      for ours, theirs in (*attention, *feed_forward, *modulation)
      for row in linear(f'{_BLOCK}/{ours}', f'{_THEIR_BLOCK}.{theirs}')
    ),
    *(
      row
      for ours, theirs in head_norms
      for row in norm(f'{_BLOCK}/{ours}', f'{_THEIR_BLOCK}.{theirs}')
    ),
  )


def autoencoder_rows() -> tuple[Row, ...]:
  """The table of `Autoencoder`, for files of `AutoencoderKL`."""
  side = r'params/(?P<side>encoder|decoder)'
  blocks = {
    rf'{side}/mid/resnets_(?P<i>\d+)': '{side}.mid_block.resnets.{i}',
    r'params/encoder/down_(?P<level>\d+)_(?P<i>\d+)': (
      'encoder.down_blocks.{level}.resnets.{i}'
    ),
    r'params/decoder/up_(?P<level>\d+)_(?P<i>\d+)': (
      'decoder.up_blocks.{level}.resnets.{i}'
    ),
  }
  return (
    *(
      row
      for ours, theirs in blocks.items()
      for row in (
        *conv(rf'{ours}/(?P<name>conv[12])', f'{theirs}.{{name}}'),
        *norm(rf'{ours}/(?P<name>norm[12])', f'{theirs}.{{name}}'),
        *linear(f'{ours}/conv_shortcut', f'{theirs}.conv_shortcut', CONV1X1),
      )
    ),
    *conv(rf'{side}/(?P<name>conv_in|conv_out)', '{side}.{name}'),
    *norm(rf'{side}/conv_norm_out', '{side}.conv_norm_out'),
    *conv(
      r'params/encoder/downsample_(?P<level>\d+)',
      'encoder.down_blocks.{level}.downsamplers.0.conv',
    ),
    *conv(
      r'params/decoder/upsample_(?P<level>\d+)',
      'decoder.up_blocks.{level}.upsamplers.0.conv',
    ),
    *norm(f'{side}/mid/group_norm', '{side}.mid_block.attentions.0.group_norm'),
    *linear(
      rf'{side}/mid/(?P<name>to_[qkv])', '{side}.mid_block.attentions.0.{name}'
    ),
    *linear(f'{side}/mid/to_out', '{side}.mid_block.attentions.0.to_out.0'),
  )
