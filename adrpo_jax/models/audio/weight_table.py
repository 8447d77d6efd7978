"""The weight table of the audio tower in files of Hugging Face.

Names are those of a folder of the thinker alone, `audio_tower.…`; see
`omni.tensor_names` for the other spellings.
"""

from adrpo_jax.models.files.weight_table import CONV1D, Row, conv, linear, norm

# A tensor that no release of the tower uses for hearing, and what is computed.
UNUSED = (
  r'^audio_tower\.audio_bos_eos_token\.weight$'
  r'|^audio_tower\..*positional_embedding$'
)

_LAYER = r'params/layers_(?P<first>\d+)'
_THEIRS = 'audio_tower'
_THEIR_LAYER = f'{_THEIRS}.layers.{{layer}}'


def tower_rows() -> tuple[Row, ...]:
  """The table of `AudioTower`. The keys have no bias."""
  return (
    *conv('params/(?P<name>conv[12])', f'{_THEIRS}.{{name}}', CONV1D),
    *norm(
      rf'{_LAYER}/(?P<name>self_attn_layer_norm|final_layer_norm)',
      f'{_THEIR_LAYER}.{{name}}',
    ),
    *linear(
      rf'{_LAYER}/(?P<name>[qkv]_proj|out_proj)',
      f'{_THEIR_LAYER}.self_attn.{{name}}',
    ),
    *linear(rf'{_LAYER}/(?P<name>fc[12])', f'{_THEIR_LAYER}.{{name}}'),
    *norm('params/ln_post', f'{_THEIRS}.ln_post'),
    *linear('params/proj', f'{_THEIRS}.proj'),
  )
