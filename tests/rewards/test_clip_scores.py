"""Rewards of a CLIP pair: what holds without transformers' own model.

That the numbers are right is in tests/parity.
"""

import dataclasses
import json

import jax
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import pytest
import tiny_clip

from adrpo_jax.errors import InputError
from adrpo_jax.models.load import save_tree
from adrpo_jax.rewards import clip_towers
from adrpo_jax.rewards.aesthetic import aesthetic, read_head
from adrpo_jax.rewards.clip_folder import read_clip
from adrpo_jax.rewards.clip_scores import clip_score, hps_v2, pick_score

TEXTS = ('A red fox on 2 hills.', 'an owl', 'x' * 60, 'an owl')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tiny_clip.write(tmp_path_factory.mktemp('clip'))


@pytest.fixture(scope='module')
def images():
  rng = np.random.default_rng(0)
  return rng.uniform(size=(4, 2, 16, 24, 3)).astype(np.float32)


def test_a_sample_that_is_not_finite_costs_itself_alone(folder, images):
  reward = clip_score(TEXTS, 0.0, path=folder)
  broken = images.copy()
  broken[1, 0, 3, 12, 2] = np.inf  # clipped: a picture all the same
  broken[2, 1, 3, 12, 2] = np.nan
  ids = np.arange(4)
  whole, scores = reward({'ids': ids}, images), reward({'ids': ids}, broken)
  expected = np.ones((4, 2), bool)
  expected[2, 1] = False
  np.testing.assert_array_equal(scores.valid, expected)
  assert scores.rewards[2, 1] == 0
  expected[1, 0] = False  # another picture
  np.testing.assert_allclose(
    scores.rewards[expected], whole.rewards[expected], atol=1e-5
  )
  for measure in scores.measures.values():
    assert np.isfinite(measure).all()
    assert measure[2, 0] == measure[2, 1] == 0  # no pair is left
    assert (measure[:2] > 0).all()


def test_rows_are_those_of_the_ids(folder, images):
  reward = clip_score(TEXTS, 0.0, path=folder)
  order = np.array([3, 1, 0, 0])
  scores = reward({'ids': order}, images[[0, 0, 0, 0]])
  np.testing.assert_array_equal(scores.rewards[0], scores.rewards[1])  # owls
  np.testing.assert_array_equal(scores.rewards[2], scores.rewards[3])
  assert np.abs(scores.rewards[0] - scores.rewards[2]).min() > 0.1
  beyond = reward({'ids': np.array([0, 4, 1, 2])}, images)
  np.testing.assert_array_equal(
    beyond.valid, [[True] * 2, [False] * 2, [True] * 2, [True] * 2]
  )


def test_scores_are_cosines_times_a_scale(folder, images):
  ids = {'ids': np.arange(4)}
  hundred = clip_score(TEXTS, 0.0, path=folder)(ids, images).rewards
  picked = pick_score(TEXTS, 0.0, path=folder)(ids, images).rewards
  divided = pick_score(TEXTS, 0.0, path=folder, divided_by=26.0)(ids, images)
  np.testing.assert_allclose(picked, tiny_clip.SCALE * hundred / 100, rtol=1e-5)
  np.testing.assert_allclose(divided.rewards, picked / 26, rtol=1e-5)
  assert np.abs(hundred).max() <= 100
  with pytest.raises(InputError, match='divided_by > 0, got 0'):
    pick_score(TEXTS, 0.0, path=folder, divided_by=0.0)


def test_split_over_devices_equals_whole(folder, images):
  if jax.device_count() < 2:
    pytest.skip('needs two devices')
  mesh = jax.make_mesh(
    (2,),
    ('data',),
    devices=jax.devices()[:2],
    axis_types=(jax.sharding.AxisType.Auto,),
  )
  split = NamedSharding(mesh, PartitionSpec('data'))
  reward = clip_score(TEXTS, 0.0, path=folder)
  ids = np.array([2, 0, 3, 1])
  whole = reward({'ids': ids}, images)
  parts = reward(
    {'ids': jax.device_put(ids, split)}, jax.device_put(images, split)
  )
  assert parts.rewards.sharding.is_equivalent_to(split, 2)
  np.testing.assert_allclose(whole.rewards, parts.rewards, atol=1e-4)
  np.testing.assert_allclose(
    whole.measures['clip_diversity'],
    parts.measures['clip_diversity'],
    rtol=1e-5,
  )


def test_compiles_once_and_shares_its_tower(folder, images, monkeypatch):
  clip = read_clip(folder)
  tower = clip_towers.vision_tower(clip)
  assert clip_towers.vision_tower(read_clip(folder)) is tower
  placed = tower.params.beside(jax.numpy.asarray(images))
  traced = []
  apply = type(tower.model).__call__

  def counted(*arguments):
    traced.append(1)
    return apply(*arguments)

  monkeypatch.setattr(type(tower.model), '__call__', counted)
  reward = clip_score(TEXTS, 0.0, path=folder)
  for shift in (0.0, 0.1):
    reward({'ids': np.arange(4)}, images + shift)
  assert len(traced) == 1
  assert tower.params.beside(jax.numpy.asarray(images)) is placed


def test_each_distinct_text_is_embedded_once(folder, monkeypatch):
  clip = read_clip(folder)
  tokeniser, read = clip_towers.tokeniser_of(clip.base), []

  def listening(texts, **options):
    read.append(texts)
    return tokeniser(texts, **options)

  monkeypatch.setattr(clip_towers, 'tokeniser_of', lambda folder: listening)
  embedded = clip_towers.embed_texts(clip, TEXTS, batch=2)
  assert read[-1] == list(TEXTS[:3])
  assert embedded.shape == (4, tiny_clip.WIDTH)
  np.testing.assert_array_equal(embedded[1], embedded[3])
  alone = clip_towers.embed_texts(clip, ['an owl'])
  np.testing.assert_allclose(embedded[1], alone[0], atol=1e-5)
  # What is beyond the tower's length is cut.
  longer = clip_towers.embed_texts(clip, ['x' * 61])
  np.testing.assert_allclose(embedded[2], longer[0], atol=1e-5)


def open_clip_tensors(prefix):
  """The tiny pair as open_clip names it: one block at a time, by hand."""
  theirs, held = tiny_clip.tensors(), {}
  for ours, tower, top in (
    ('text_model', '', tiny_clip.TEXT),
    ('vision_model', 'visual.', tiny_clip.VISION),
  ):
    for i in range(top.num_hidden_layers):
      block = f'{tower}transformer.resblocks.{i}'
      layer = f'{ours}.encoder.layers.{i}'
      for kind in ('weight', 'bias'):
        held[f'{block}.attn.in_proj_{kind}'] = np.concatenate(
          [theirs[f'{layer}.self_attn.{n}_proj.{kind}'] for n in 'qkv']
        )
        for there, here in {
          'attn.out_proj': 'self_attn.out_proj',
          'ln_1': 'layer_norm1',
          'ln_2': 'layer_norm2',
          'mlp.c_fc': 'mlp.fc1',
          'mlp.c_proj': 'mlp.fc2',
        }.items():
          held[f'{block}.{there}.{kind}'] = theirs[f'{layer}.{here}.{kind}']
  text, vision = 'text_model', 'vision_model'
  for kind in ('weight', 'bias'):
    held[f'ln_final.{kind}'] = theirs[f'{text}.final_layer_norm.{kind}']
    held[f'visual.ln_pre.{kind}'] = theirs[f'{vision}.pre_layrnorm.{kind}']
    held[f'visual.ln_post.{kind}'] = theirs[f'{vision}.post_layernorm.{kind}']
  embeddings = f'{text}.embeddings', f'{vision}.embeddings'
  return {
    f'{prefix}{name}': np.ascontiguousarray(array)
    for name, array in (
      held
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
  """Fused queries, keys and values; config and tokeniser from elsewhere."""
  save_tree(tmp_path / 'model.safetensors', open_clip_tensors(prefix))
  ids = {'ids': np.arange(4)}
  ours = hps_v2(TEXTS, 0.0, path=folder)(ids, images)
  theirs = hps_v2(TEXTS, 0.0, path=str(tmp_path), base=folder)(ids, images)
  np.testing.assert_array_equal(ours.rewards, theirs.rewards)
  clip = read_clip(str(tmp_path), folder)
  assert clip_towers.logit_scale(clip) == pytest.approx(tiny_clip.SCALE)
  with pytest.raises(InputError, match="such a one as 'base'"):
    hps_v2(TEXTS, 0.0, path=str(tmp_path))


def test_a_file_of_weights_with_a_base(folder, images):
  file = f'{folder}/model.safetensors'
  ids = {'ids': np.arange(4)}
  np.testing.assert_array_equal(
    hps_v2(TEXTS, 0.0, path=file, base=folder)(ids, images).rewards,
    hps_v2(TEXTS, 0.0, path=folder)(ids, images).rewards,
  )


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'model_type': 'siglip'}, "model_type = 'clip'.*got 'siglip'"),
    (
      {'vision_config': {'hidden_act': 'relu'}},
      "hidden_act quick_gelu or gelu.*got 'relu'",
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


def test_another_preprocessing_is_refused(tmp_path):
  path = tiny_clip.write(tmp_path)
  processor = tmp_path / 'preprocessor_config.json'
  processor.write_text('{"image_mean": [0.5, 0.5, 0.5], "resample": 3}')
  with pytest.raises(InputError, match=r'image_mean.*got \[0.5, 0.5, 0.5\]'):
    read_clip(path)
  processor.write_text('{"resample": 2}')
  with pytest.raises(InputError, match=r'resample = 3, bicubic.*got 2'):
    read_clip(path)


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


def test_a_head_is_its_layers_one_after_the_other(tmp_path):
  affine = read_head(tiny_clip.write_head(tmp_path, (3, 2, 1)), 3)
  assert read_head(str(tmp_path), 3).bias == affine.bias
  layers = [
    {
      'layers.0.weight': [[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]],
      'layers.0.bias': [1.0, 2.0],
    },
    {'layers.2.weight': [[3.0, -1.0]], 'layers.2.bias': [0.5]},
  ]
  held = {
    name: np.array(array, np.float32)
    for layer in layers
    for name, array in layer.items()
  }
  save_tree(tmp_path / 'hand.safetensors', held)
  affine = read_head(str(tmp_path / 'hand.safetensors'), 3)
  # 3·(x + 2y + 1) − (y − z + 2) + 0.5
  np.testing.assert_array_equal(affine.weight, [3, 5, 1])
  assert affine.bias == 1.5


def test_a_head_of_another_tower_or_none(folder, tmp_path):
  wide = tiny_clip.write_head(tmp_path, (16, 4, 1))
  with pytest.raises(InputError, match=r'embeddings of 12.*got 16 to 1.*L/14'):
    aesthetic(TEXTS, 0.0, path=folder, head=wide)
  broken = tiny_clip.write_head(tmp_path, (12, 4, 1))
  with pytest.raises(InputError, match='got 12 to 4'):
    read_head(tiny_clip.write_head(tmp_path / 'open', (12, 4)), 12)
  save_tree(
    tmp_path / 'apart.safetensors',
    {
      'layers.0.weight': np.ones((4, 12), np.float32),
      'layers.0.bias': np.ones(4, np.float32),
      'layers.2.weight': np.ones((1, 5), np.float32),
      'layers.2.bias': np.ones(1, np.float32),
    },
  )
  with pytest.raises(InputError, match=r'follow each other.*\[1, 5\] after 4'):
    read_head(str(tmp_path / 'apart.safetensors'), 12)
  with pytest.raises(InputError, match='of the head of the aesthetic'):
    aesthetic(TEXTS, 0.0, path=folder, head='')
  with pytest.raises(InputError, match=r"\['layers.0.weight'"):
    read_head(f'{folder}/model.safetensors', 12)
  with pytest.raises(InputError, match='a pickle'):
    read_head(str(tmp_path / 'sac+logos+ava1-l14-linearMSE.pth'), 12)
  assert read_head(broken, 12).weight.shape == (12,)


def test_aesthetic_does_not_look_at_the_prompt(folder, images, tmp_path):
  head = tiny_clip.write_head(tmp_path)
  reward = aesthetic(TEXTS, 0.0, path=folder, head=head)
  first = reward({'ids': np.arange(4)}, images)
  second = reward({'ids': np.arange(4)[::-1]}, images)
  np.testing.assert_array_equal(first.rewards, second.rewards)
  assert first.valid.all()
