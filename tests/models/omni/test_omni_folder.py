"""Checks folders of Qwen2.5-Omni: layouts, spellings, what is refused."""

import json
import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
import transformers

from adrpo_jax.errors import InputError
from adrpo_jax.models import lora
from adrpo_jax.models.audio import tower as audio_tower
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.decoder.folder import param_shapes
from adrpo_jax.models.files.tokenizers import load_tokenizer
from adrpo_jax.models.omni import export
from adrpo_jax.models.omni import folder as omni_folder
from adrpo_jax.models.omni.architectures import ARCHITECTURES
from adrpo_jax.models.tiny import omni as omni_tiny
from adrpo_jax.tree_names import leaf_names


@pytest.fixture(scope='session')
def whole(tmp_path_factory):
  """A whole folder; nobody changes it."""
  return omni_tiny.write(tmp_path_factory.mktemp('omni'))


@pytest.fixture
def copied(whole, tmp_path):
  """Returns a writer of a folder like `whole`, with other fields or tensors."""

  def write(change_fields=lambda f: None, rename=str, tensors=None):
    fields = json.loads((whole / 'config.json').read_text())
    fields = change_fields(fields) or fields
    (tmp_path / 'config.json').write_text(json.dumps(fields))
    stored = load_file(whole / 'model.safetensors') | (tensors or {})
    renamed = {rename(name): array for name, array in stored.items()}
    save_file(renamed, tmp_path / 'model.safetensors')
    return tmp_path

  return write


def loaded(folder):
  model = omni_folder.read(folder)
  parts = (
    load(model, jnp.float32, lambda shapes: shapes)
    for load in (omni_folder.load_decoder, omni_folder.load_tower)
  )
  return [leaf_names(part) for part in parts]


def check_equal(ours, expected):
  for part, other in zip(ours, expected, strict=True):
    assert set(part) == set(other)
    for name, array in other.items():
      np.testing.assert_array_equal(part[name], array)


def test_a_whole_folder(whole):
  model = omni_folder.read(whole)
  assert model.decoder.config == omni_tiny.DECODER
  assert model.tower == omni_tiny.TOWER
  assert model.ids == (259, 260, 261)
  assert model.decoder.longest == 4096
  stored = load_file(whole / 'model.safetensors')
  decoder, tower = loaded(whole)
  np.testing.assert_array_equal(
    decoder['params/layers_0/q_proj/dense/kernel'][1],
    stored['thinker.model.layers.1.self_attn.q_proj.weight'].T,
  )
  np.testing.assert_array_equal(
    tower['params/conv2/kernel'],
    stored['thinker.audio_tower.conv2.weight'].transpose(2, 1, 0),
  )


def test_the_tokenizer_is_read_without_words_on_other_fields(whole, caplog):
  """transformers finds ids of the 7B's tokens too large for this model."""
  logger = logging.getLogger('transformers.configuration_utils')
  level = logger.level
  logger.addHandler(caplog.handler)
  said_before = transformers.utils.logging.warning_once
  try:
    said_before.cache_clear()
    transformers.AutoTokenizer.from_pretrained(str(whole))
    assert any('within the vocabulary' in r.message for r in caplog.records)
    caplog.clear()
    said_before.cache_clear()
    assert load_tokenizer.__wrapped__(whole).eos_token_id is not None
  finally:
    logger.removeHandler(caplog.handler)
  assert not caplog.records
  assert logger.level == level


def in_memory(name):
  name = name.removeprefix('thinker.')
  if name.startswith('model.'):
    return name.replace('model.', 'model.language_model.', 1)
  return name if name.startswith('lm_head') else f'model.{name}'


@pytest.mark.parametrize(
  'rename', [lambda name: name.removeprefix('thinker.'), in_memory]
)
def test_the_other_spellings_of_names(whole, copied, rename):
  folder = copied(lambda fields: fields['thinker_config'], rename)
  check_equal(loaded(folder), loaded(whole))


def test_what_speaks_and_sees_is_not_read(whole, copied):
  """Nor is the pickle of voices, though it is none."""
  speech = {
    f'{part}.proj.weight': np.full((2, 2), np.nan, np.float32)
    for part in ('talker', 'token2wav', 'thinker.visual')
  }
  folder = copied(tensors=speech)
  (folder / 'spk_dict.pt').write_bytes(b'no pickle at all')
  check_equal(loaded(folder), loaded(whole))


def test_voices_alone_are_no_weights(copied):
  folder = copied()
  (folder / 'model.safetensors').unlink()
  (folder / 'spk_dict.pt').write_bytes(b'')
  with pytest.raises(InputError, match=r'Expected model\.safetensors'):
    loaded(folder)


def test_both_spellings_of_the_rotation(whole, copied):
  def newer(fields):
    text = fields['thinker_config']['text_config']
    scaling = text.pop('rope_scaling')
    text['rope_parameters'] = {**scaling, 'rope_theta': text.pop('rope_theta')}

  assert omni_folder.read(copied(newer)).decoder.config == omni_tiny.DECODER


def test_missing_fields_are_those_of_the_7b(copied):
  """`transformers` has these defaults as well."""

  def bare(fields):
    kept = {'model_type': 'qwen2_5_omni_thinker'}
    return {'model_type': 'qwen2_5_omni', 'thinker_config': kept}

  model = omni_folder.read(copied(bare))
  assert model.decoder.config == ARCHITECTURES['qwen2p5_omni_7b'].decoder
  assert model.tower == audio_tower.AudioTowerConfig()
  assert model.ids == (151646, 151647, 151648)


@pytest.mark.parametrize('own', [False, None])
def test_the_head_is_the_thinkers_own(whole, copied, own):
  """Its text_config says tied, and does not count."""

  def tied_text(fields):
    thinker = fields['thinker_config']
    thinker['text_config']['tie_word_embeddings'] = True
    thinker['tie_word_embeddings'] = own

  folder = copied(tied_text)
  model = omni_folder.read(folder)
  assert not model.decoder.config.tie_word_embeddings
  assert model.decoder.fields['tie_word_embeddings'] is False
  check_equal(loaded(folder), loaded(whole))


def test_an_untied_thinker_without_a_head(copied):
  drop = {'thinker.lm_head.weight': 'talker.head'}
  folder = copied(rename=lambda name: drop.get(name, name))
  with pytest.raises(InputError, match=r'lm_head\.weight'):
    loaded(folder)


def thinker(part=None, **changes):
  def change(fields):
    place = fields['thinker_config']
    (place[part] if part else place).update(changes)

  return change


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda f: f.update(model_type='qwen2_audio'), "'qwen2_audio'. Give the"),
    (thinker(model_type='qwen3_omni_moe_thinker'), "'qwen3_omni_moe_thinker'"),
    (thinker('audio_config', n_window=5), 'n_window to be a multiple'),
    (thinker('audio_config', activation_function='relu'), "= 'gelu'"),
    (thinker('audio_config', output_dim=16), 'hidden_size of text_config, 32'),
    (thinker('audio_config', encoder_layers='2'), 'encoder_layers'),
    (thinker('text_config', use_sliding_window=True), 'use_sliding_window'),
    (
      thinker('text_config', rope_scaling={'rope_type': 'yarn', 'factor': 4}),
      'scaled and partial rotations',
    ),
    (thinker(audio_config=[1]), 'an object as audio_config'),
    (thinker(audio_token_index=272), 'below vocab_size, 272'),
    (thinker(audio_token_index='x'), 'audio_token_index'),
    (thinker(quantization_config={'bits': 4}), 'the model is quantized'),
    (thinker('text_config', quantization_config={}), 'the model is quantized'),
  ],
)
def test_what_is_refused(copied, change, message):
  with pytest.raises(InputError, match=message):
    omni_folder.read(copied(change))


def test_two_spellings_of_one_tensor(copied):
  twice = {'model.norm.weight': np.ones(32, np.float32)}
  with pytest.raises(InputError, match=r'one tensor model\.norm\.weight'):
    loaded(copied(tensors=twice))


def test_a_bias_of_the_keys_is_unexpected(copied):
  bias = {'thinker.audio_tower.layers.0.self_attn.k_proj.bias': np.ones(32)}
  with pytest.raises(InputError, match=r'k_proj\.bias'):
    loaded(copied(tensors=bias))


@pytest.mark.parametrize(
  ('name', 'decoder', 'tower'),
  [
    # The sums of the text and its head, and of the tower without bos and eos.
    ('qwen2p5_omni_7b', 7_070_619_136 + 544_997_376, 639_647_232 - 7168),
    ('qwen2p5_omni_3b', 3_397_103_616, 637_672_448),
  ],
)
def test_released_sizes(name, decoder, tower):
  sizes = ARCHITECTURES[name]
  assert sizes.tower.output_dim == sizes.decoder.hidden_size
  counts = [
    sum(leaf.size for leaf in leaf_names(shapes).values())
    for shapes in (
      param_shapes(Decoder(sizes.decoder)),
      audio_tower.param_shapes(sizes.tower),
    )
  ]
  assert counts == [decoder, tower]


def test_an_export_copies_what_is_not_trained(whole, tmp_path):
  model = omni_folder.read(whole)
  params = omni_folder.load_decoder(model, jnp.float32, lambda s: s)
  params['params']['norm']['scale'] += 1
  path = export.save(tmp_path, model, params)
  before = load_file(whole / 'model.safetensors')
  after = load_file(path)
  assert set(after) == {name.removeprefix('thinker.') for name in before}
  changed = [
    name
    for name, array in after.items()
    if not np.array_equal(array, before[f'thinker.{name}'])
  ]
  assert changed == ['model.norm.weight']
  fields = json.loads((tmp_path / 'config.json').read_text())
  assert fields['model_type'] == 'qwen2_5_omni_thinker'
  stored = json.loads((whole / 'config.json').read_text())
  assert fields['vision_config'] == stored['thinker_config']['vision_config']
  assert omni_folder.read(tmp_path).tower == model.tower


def test_an_export_of_a_trained_tower(whole, tmp_path):
  model = omni_folder.read(whole)
  params = omni_folder.load_decoder(model, jnp.float32, lambda s: s)
  tower = omni_folder.load_tower(model, jnp.float32, lambda s: s)
  tower['params']['proj']['dense']['bias'] += 1
  after = load_file(export.save(tmp_path, model, params, tower))
  before = load_file(whole / 'model.safetensors')
  name = 'audio_tower.proj.bias'
  np.testing.assert_allclose(after[name], before[f'thinker.{name}'] + 1)
  name = 'audio_tower.audio_bos_eos_token.weight'  # It has no leaf of ours.
  np.testing.assert_array_equal(after[name], before[f'thinker.{name}'])


@pytest.mark.parametrize(
  ('module', 'adapted'),
  [
    ('model.language_model.layers.0.self_attn.q_proj', True),
    ('model.layers.27.mlp.gate_proj', True),  # of transformers 4
    ('thinker.model.layers.3.self_attn.o_proj', True),
    ('model.audio_tower.layers.0.self_attn.q_proj', False),
    ('audio_tower.layers.0.self_attn.out_proj', False),
    ('model.visual.blocks.0.mlp.gate_proj', False),
    ('visual.blocks.0.attn.q_proj', False),
    ('model.language_model.layers.0.self_attn.q_norm', False),
    ('talker.model.layers.0.mlp.gate_proj.x', False),
  ],
)
def test_targets_of_adapters(module, adapted):
  names = [f'q.{n}_proj' for n in ('q', 'k', 'v', 'o', 'gate', 'up', 'down')]
  pattern = export.target_modules(names)
  assert bool(re.fullmatch(pattern, module)) == adapted


def test_adapters_are_of_the_decoder_alone(whole):
  shapes = param_shapes(Decoder(omni_folder.read(whole).decoder.config))
  adapters = lora.init(shapes, 2, jax.random.key(0), lora.DECODER)
  assert len(adapters) == 7
