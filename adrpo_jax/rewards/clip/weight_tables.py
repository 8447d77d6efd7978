"""The tables of weights of a CLIP pair, in its two layouts.

transformers  text_model.*  vision_model.*  text_projection.weight ...
open_clip     visual.*, and the text tower without a prefix; query, key and
              value are one tensor; 'model.' may stand before all of it
"""

from collections.abc import Iterable
from typing import NamedTuple

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.text_encoder_tables import (
  clip_text_rows,
  clip_vision_rows,
)
from adrpo_jax.models.files.weight_table import (
  CONV2D,
  LINEAR,
  Row,
  linear,
  norm,
)


class ClipLayout(NamedTuple):
  """The names of the tensors of a pair.

  text, vision: tables of the towers
  beside_text, beside_vision: patterns of tensors outside the tower
  scale: the logarithm of the factor of cosines
  """

  text: tuple[Row, ...]
  vision: tuple[Row, ...]
  beside_text: str
  beside_vision: str
  scale: str


def weight_layout(names: Iterable[str], where: object) -> ClipLayout:
  """The layout of a file with tensors of these names.

  Raises:
    InputError: the names are of neither layout.
  """
  names = set(names)
  if 'visual_projection.weight' in names:
    return TRANSFORMERS
  for prefix in ('', 'model.'):
    if f'{prefix}visual.proj' in names:
      return open_clip(prefix)
  raise InputError(
    f'Expected the weights of a CLIP pair in {where}, with '
    'visual_projection.weight, or visual.proj in the layout of open_clip; got '
    f'{sorted(names)[:4]} and more.'
  )


def open_clip(prefix: str = '') -> ClipLayout:
  """The layout of open_clip's `CLIP`, with `prefix` before every name."""
  visual = f'{prefix}visual.'
  return ClipLayout(
    text=(
      Row(
        'params/token_embedding/embedding', f'{prefix}token_embedding.weight'
      ),
      Row('params/position_embedding', f'{prefix}positional_embedding'),
      *_blocks(prefix),
      *norm('params/final_layer_norm', f'{prefix}ln_final'),
      Row('params/text_projection/dense/kernel', f'{prefix}text_projection'),
    ),
    vision=(
      Row('params/class_embedding', f'{visual}class_embedding'),
      Row('params/patch_embedding/kernel', f'{visual}conv1.weight', CONV2D),
      Row('params/position_embedding', f'{visual}positional_embedding'),
      *norm('params/pre_layernorm', f'{visual}ln_pre'),
      *_blocks(visual),
      *norm('params/post_layernorm', f'{visual}ln_post'),
      Row('params/visual_projection/dense/kernel', f'{visual}proj'),
    ),
    beside_text=rf'^{prefix}(visual\.|logit_scale$|attn_mask$)',
    beside_vision=rf'^(?!{visual})',
    scale=f'{prefix}logit_scale',
  )


TRANSFORMERS = ClipLayout(
  text=clip_text_rows(),
  vision=clip_vision_rows(),
  beside_text=r'^(?!text_model\.|text_projection\.)|position_ids$',
  beside_vision=r'^(?!vision_model\.|visual_projection\.)|position_ids$',
  scale='logit_scale',
)


def _blocks(prefix: str) -> tuple[Row, ...]:
  ours = r'params/layers_(?P<first>\d+)'
  theirs = f'{prefix}transformer.resblocks.{{layer}}'
  fused = f'{theirs}.attn.in_proj'
  return (
    *norm(f'{ours}/layer_norm1', f'{theirs}.ln_1'),
    *norm(f'{ours}/layer_norm2', f'{theirs}.ln_2'),
    *(
      row
      for i, name in enumerate('qkv')
      for row in (
        Row(
          f'{ours}/{name}_proj/dense/kernel', f'{fused}_weight', LINEAR, (i, 3)
        ),
        Row(f'{ours}/{name}_proj/dense/bias', f'{fused}_bias', part=(i, 3)),
      )
    ),
    *linear(f'{ours}/out_proj', f'{theirs}.attn.out_proj'),
    *linear(f'{ours}/fc1', f'{theirs}.mlp.c_fc'),
    *linear(f'{ours}/fc2', f'{theirs}.mlp.c_proj'),
  )
