"""The layouts of weights of a CLIP pair."""

import jax
import numpy as np
import pytest
import tiny_clip

from adrpo_jax.errors import InputError
from adrpo_jax.models.clip.towers import (
  ClipText,
  ClipTextConfig,
  ClipVision,
  ClipVisionConfig,
)
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.safetensors_trees import save_tree
from adrpo_jax.rewards.clip import towers, weight_tables
from adrpo_jax.rewards.clip.folder import read_clip
from adrpo_jax.rewards.clip.scores import hps_v2
from adrpo_jax.types import PromptBatch


def open_clip_tensors(prefix):
  """The tiny pair as open_clip names it: one block at a time, by hand."""
  theirs, tensors = tiny_clip.tensors(), {}
  for ours, tower, top in (
    ('text_model', '', tiny_clip.TEXT),
    ('vision_model', 'visual.', tiny_clip.VISION),
  ):
    for i in range(top.num_hidden_layers):
      block = f'{tower}transformer.resblocks.{i}'
      layer = f'{ours}.encoder.layers.{i}'
      for kind in ('weight', 'bias'):
        tensors[f'{block}.attn.in_proj_{kind}'] = np.concatenate(
          [theirs[f'{layer}.self_attn.{n}_proj.{kind}'] for n in 'qkv']
        )
        for there, here in {
          'attn.out_proj': 'self_attn.out_proj',
          'ln_1': 'layer_norm1',
          'ln_2': 'layer_norm2',
          'mlp.c_fc': 'mlp.fc1',
          'mlp.c_proj': 'mlp.fc2',
        }.items():
          tensors[f'{block}.{there}.{kind}'] = theirs[f'{layer}.{here}.{kind}']
  text, vision = 'text_model', 'vision_model'
  for kind in ('weight', 'bias'):
    tensors[f'ln_final.{kind}'] = theirs[f'{text}.final_layer_norm.{kind}']
    tensors[f'visual.ln_pre.{kind}'] = theirs[f'{vision}.pre_layrnorm.{kind}']
    post = theirs[f'{vision}.post_layernorm.{kind}']
    tensors[f'visual.ln_post.{kind}'] = post
  embeddings = f'{text}.embeddings', f'{vision}.embeddings'
  return {
    f'{prefix}{name}': np.ascontiguousarray(array)
    for name, array in (
      tensors
      | {
        'token_embedding.weight': theirs[
          f'{embeddings[0]}.token_embedding.weight'
        ],
        'positional_embedding': theirs[
          f'{embeddings[0]}.position_embedding.weight'
        ],
        'text_projection': theirs['text_projection.weight'].T,
        'visual.class_embedding': theirs[f'{embeddings[1]}.class_embedding'],
        'visual.conv1.weight': theirs[
          f'{embeddings[1]}.patch_embedding.weight'
        ],
        'visual.positional_embedding': theirs[
          f'{embeddings[1]}.position_embedding.weight'
        ],
        'visual.proj': theirs['visual_projection.weight'].T,
        'logit_scale': theirs['logit_scale'],
      }
    ).items()
  }


@pytest.mark.parametrize('prefix', ['', 'model.'])
def test_the_layout_of_open_clip(prefix, folder, images, tmp_path):
  """Fused queries, keys and values; config and tokenizer from elsewhere."""
  save_tree(tmp_path / 'model.safetensors', open_clip_tensors(prefix))
  ids = PromptBatch.of_step(np.arange(4))
  ours = hps_v2(tiny_clip.TEXTS, 0.0, path=folder)(ids, images)
  theirs = hps_v2(tiny_clip.TEXTS, 0.0, path=str(tmp_path), base=folder)(
    ids, images
  )
  np.testing.assert_array_equal(ours.rewards, theirs.rewards)
  clip = read_clip(str(tmp_path), folder)
  assert towers.logit_scale(clip) == pytest.approx(tiny_clip.SCALE)
  with pytest.raises(InputError, match="here or as 'base'"):
    hps_v2(tiny_clip.TEXTS, 0.0, path=str(tmp_path))


def test_a_file_of_weights_with_a_base(folder, images):
  file = f'{folder}/model.safetensors'
  ids = PromptBatch.of_step(np.arange(4))
  np.testing.assert_array_equal(
    hps_v2(tiny_clip.TEXTS, 0.0, path=file, base=folder)(ids, images).rewards,
    hps_v2(tiny_clip.TEXTS, 0.0, path=folder)(ids, images).rewards,
  )


@pytest.mark.parametrize(
  'table', [weight_tables.TRANSFORMERS, weight_tables.open_clip('model.')]
)
def test_a_table_names_every_weight_of_the_released_pair(table):
  """CLIP ViT-H/14 of LAION, on which PickScore and HPSv2 are built."""
  text = ClipTextConfig(
    hidden_size=1024,
    intermediate_size=4096,
    projection_dim=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
  )
  vision = ClipVisionConfig(
    hidden_size=1280,
    intermediate_size=5120,
    projection_dim=1024,
    num_hidden_layers=32,
  )
  parameters, names = 1, {table.scale}
  for model, rows, inputs in (
    (ClipText(text), table.text, np.zeros((1, 77), np.int32)),
    (ClipVision(vision), table.vision, np.zeros((1, 224, 224, 3), np.float32)),
  ):
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
    parameters += sum(leaf.size for leaf in jax.tree.leaves(shapes))
    for source in weight_table.sources(rows, shapes).values():
      names.update(source.names)
  assert parameters == 986_109_441
  # A layer's query, key and value are six tensors, or two.
  fused = table is not weight_tables.TRANSFORMERS
  assert len(names) == (24 + 32) * (12 if fused else 16) + 14
