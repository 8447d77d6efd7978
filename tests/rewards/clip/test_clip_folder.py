"""Folders of CLIP pairs: what their configs say, and what is refused."""

import dataclasses
import json

import pytest
import tiny_clip

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.clip.aesthetic import aesthetic
from adrpo_jax.rewards.clip.folder import read_clip
from adrpo_jax.rewards.clip.scores import clip_score, hps_v2

TEXTS = ('A red fox on 2 hills.', 'an owl')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tiny_clip.write(tmp_path_factory.mktemp('clip'))


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'model_type': 'siglip'}, "model_type = 'clip'.*got 'siglip'"),
    (
      {'vision_config': {'hidden_act': 'relu'}},
      "hidden_act .* to be quick_gelu or gelu, got 'relu'",
    ),
    ({'projection_dim': 20}, 'visual_projection.weight: expected float'),
    (
      {
        'vision_config': dataclasses.asdict(tiny_clip.VISION)
        | {'num_hidden_layers': 3}
      },
      r'Missing:\n  vision_model.encoder.layers.2',
    ),
  ],
)
def test_a_config_that_is_not_that_of_the_weights(fields, said, tmp_path):
  with pytest.raises(InputError, match=said):
    clip_score(TEXTS, 0.0, path=tiny_clip.write(tmp_path, **fields))


@pytest.mark.parametrize(
  ('tower', 'fields', 'said'),
  [
    ('vision_config', {'image_size': '16'}, "image_size .* got '16'"),
    ('vision_config', {'image_size': 16.0}, r'image_size .* got 16\.0'),
    ('vision_config', {'image_size': 10**9}, 'from 1 to 16384, got 1000000000'),
    ('vision_config', {'patch_size': 0}, 'patch_size .* got 0'),
    ('vision_config', {'patch_size': 17}, 'at most image_size, 16, got 17'),
    ('vision_config', {'hidden_size': [16]}, r'hidden_size .* got \[16\]'),
    ('vision_config', {'num_hidden_layers': 0}, 'num_hidden_layers .* got 0'),
    ('vision_config', {'num_attention_heads': 3}, 'a multiple of .* 16 and 3'),
    ('vision_config', {'layer_norm_eps': float('inf')}, 'eps .* got inf'),
    ('vision_config', {'layer_norm_eps': 'x'}, "eps .* got 'x'"),
    ('text_config', {'vocab_size': True}, 'vocab_size .* got True'),
    ('text_config', {'eos_token_id': 514}, 'below vocab_size, 514, got 514'),
    ('text_config', {'max_position_embeddings': 0}, 'embeddings .* got 0'),
    ('text_config', {'hidden_act': 7}, 'quick_gelu or gelu, got 7'),
  ],
  ids=str,
)
def test_a_field_of_another_type_or_range_is_refused(
  tower, fields, said, tmp_path
):
  sizes = tiny_clip.config()[tower] | fields
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(tiny_clip.config() | {tower: sizes}))
  with pytest.raises(InputError, match=rf'(?s){said}.*'):
    read_clip(str(tmp_path))


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'text_config': [1]}, r'an object of fields as text_config .* got \[1\]'),
    ({'vision_config': 'x'}, "an object of fields as vision_config .* got 'x'"),
    ({'projection_dim': '12'}, "projection_dim .* got '12'"),
    ({'quantization_config': {'bits': 8}}, 'the plain release'),
  ],
  ids=str,
)
def test_a_config_of_another_form_is_refused(fields, said, tmp_path):
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(tiny_clip.config() | fields))
  with pytest.raises(InputError, match=said):
    read_clip(str(tmp_path))


def test_what_a_config_leaves_out_is_as_in_transformers(tmp_path):
  """Newer files hold what differs from ViT-B/32 alone."""
  fields = {'model_type': 'clip', 'projection_dim': 768}
  fields['text_config'] = {'hidden_size': 768}
  fields['vision_config'] = {'patch_size': 14}
  (tmp_path / 'config.json').write_text(json.dumps(fields))
  clip = read_clip(str(tmp_path))
  assert clip.text.hidden_size == 768
  assert clip.text.num_attention_heads == 8
  assert clip.vision.patch_size == 14
  assert clip.vision.hidden_size == 768
  assert clip.text.projection_dim == clip.vision.projection_dim == 768


def test_paths_that_lead_nowhere(folder, tmp_path):
  with pytest.raises(InputError, match='path of a CLIP model, got none'):
    clip_score(TEXTS, 0.0, path='')
  with pytest.raises(InputError, match='Expected the folder of a model at /no'):
    clip_score(TEXTS, 0.0, path='/nowhere/clip')
  with pytest.raises(InputError, match='Expected the config of a CLIP model'):
    clip_score(TEXTS, 0.0, path=str(tmp_path))
  (tmp_path / 'config.json').write_text(json.dumps(tiny_clip.config()))
  with pytest.raises(InputError, match=r'Expected .*model\.safetensors'):
    aesthetic(
      TEXTS,
      0.0,
      path=str(tmp_path),
      head=tiny_clip.write_head(tmp_path / 'head'),
    )
  head = tiny_clip.write_head(tmp_path / 'head')
  with pytest.raises(InputError, match='Expected the weights of a CLIP pair'):
    hps_v2(TEXTS, 0.0, path=head, base=folder)
