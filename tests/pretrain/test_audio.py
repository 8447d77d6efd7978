"""Bases of the worlds of clips: their prompts, and how they are made."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax import worlds
from adrpo_jax.errors import InputError
from adrpo_jax.models.audio.prompts import SILENCE
from adrpo_jax.models.files.tokenizers import load_tokenizer
from adrpo_jax.models.omni import folder as omni_folder
from adrpo_jax.pretrain import audio, heard_prompts
from adrpo_jax.worlds import AUDIO_WORLDS

WORLD = AUDIO_WORLDS['tones']
SHIPPED = pathlib.Path(worlds.__file__).parent / 'tones_base'
TOWER = dataclasses.replace(
  audio.SMALL_TOWER,
  d_model=8,
  encoder_layers=1,
  encoder_attention_heads=2,
  encoder_ffn_dim=8,
  output_dim=12,
)
DECODER = dataclasses.replace(
  audio.SMALL_DECODER,
  hidden_size=12,
  intermediate_size=8,
  num_hidden_layers=1,
  num_attention_heads=2,
  num_key_value_heads=1,
  head_dim=6,
)


def made(workdir, **changes):
  settings = {
    'world': 'tones',
    'solved_steps': 2,
    'steps': 3,
    'batch_size': 4,
    'learning_rate': 1e-2,
    'ema_decay': 0.9,
    'save_every': 2,
    'samples': 8,
    'seed': 0,
    'tower': TOWER,
    'decoder': DECODER,
  }
  return audio.run(workdir, **(settings | changes))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  made = tmp_path_factory.mktemp('made') / 'tokenizer'
  WORLD.tokenizer(made)
  return made


@pytest.fixture(scope='module')
def heard(folder):
  return heard_prompts.make_prompts(WORLD, folder, 30)


def test_features_stand_between_the_ends_of_the_clip(folder, heard):
  """120 frames are 30 tokens, before 13 words and an end of turn."""
  items = WORLD.items('held_out')[:2]
  prompts, tokenizer = heard.arrays(items), load_tokenizer(folder)
  assert prompts['mel'].shape == (2, 2, 60, 64)
  assert prompts['frames'].tolist() == [120, 120]
  row = prompts['tokens'][0]
  words = tokenizer.convert_ids_to_tokens(row[prompts['mask'][0]])
  assert words[:32] == ['<|audio_bos|>', *['<|AUDIO|>'] * 30, '<|audio_eos|>']
  assert words[-1] == '<|im_end|>'
  places = prompts['places'][0]
  assert places[places >= 0].tolist() == list(range(30))
  assert (places >= 0).sum() == (row == 3).sum() == 30
  assert heard.longest == 46


def test_silence_is_its_constant_and_noise_is_not():
  log_mel = heard_prompts.make_log_mel(heard_prompts.MEL)
  silent = log_mel(np.zeros(38400, np.float32))
  np.testing.assert_array_equal(silent, SILENCE)
  heard = log_mel(WORLD.wave(WORLD.items('train')[0].audio))
  assert heard.shape == (120, 64)
  assert heard.std() > 0.2


def test_what_is_heard_changes_the_loss_and_trains_the_tower(folder, heard):
  items = WORLD.items('held_out')[:2]
  prompts = heard.arrays(items)
  rows = audio.answered(
    (prompts['tokens'], prompts['mask']),
    [item.answer for item in items],
    load_tokenizer(folder),
    audio.MAX_LENGTH,
  )
  hears = audio.AudioTower(TOWER)
  reads = audio.language_model(audio.Decoder(DECODER))
  decoder = audio.initialized(audio.Decoder(DECODER), jax.random.key(0))
  tower = audio.audio_tower.init_params(TOWER, jax.random.key(1))

  @jax.jit
  @jax.value_and_grad
  def loss(tower, mel):
    given = audio.features(hears, tower, prompts | {'mel': mel})
    return audio.answer_loss(reads, decoder, rows, audio.MAX_LENGTH, given)

  value, gradient = loss(tower, prompts['mel'])
  silent, _ = loss(tower, jnp.full_like(prompts['mel'], SILENCE))
  assert abs(value - silent) > 1e-4
  assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_what_is_made_is_a_folder_of_a_thinker(tmp_path):
  record = made(tmp_path)
  folder = tmp_path / 'base'
  model = omni_folder.read(folder)
  assert (model.decoder.config, model.tower) == (DECODER, TOWER)
  tokenizer = load_tokenizer(folder)
  assert tuple(model.ids) == (3, 4, 5)
  assert json.loads((folder / 'pretraining.json').read_text()) == record
  assert (
    record['ability']['samples'] == record['ability_silent']['samples'] == 8
  )
  assert record['max_prompt_length'] == 46
  params = {
    name: load(model, jnp.float32, lambda shapes: shapes)
    for name, load in (
      ('tower', omni_folder.load_tower),
      ('decoder', omni_folder.load_decoder),
    )
  }
  leaves = jax.tree.leaves(params)
  assert record['parameters'] == sum(leaf.size for leaf in leaves)
  before = (folder / 'model.safetensors').read_bytes()
  assert made(tmp_path) == record  # A run that is over is not trained again.
  assert (folder / 'model.safetensors').read_bytes() == before
  assert tokenizer.eos_token_id == 2


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'world': 'tunes'}, "Did you mean 'tones'"),
    (
      {'decoder': dataclasses.replace(DECODER, vocab_size=300)},
      'Expected vocab_size 418',
    ),
  ],
)
def test_what_cannot_be_made_is_refused(tmp_path, changes, said):
  with pytest.raises(InputError, match=said):
    made(tmp_path, **changes)


def told():
  return json.loads((SHIPPED / 'pretraining.json').read_text())


def test_the_shipped_base_is_small_and_says_how_it_was_made():
  assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 2e6
  record, model = told(), omni_folder.read(SHIPPED)
  assert (record['world'], record['max_completion_length']) == ('tones', 11)
  assert record['versions']['jax']
  assert (model.decoder.config, model.tower) == (
    audio.SMALL_DECODER,
    audio.SMALL_TOWER,
  )
  assert len(load_tokenizer(SHIPPED)) == model.decoder.config.vocab_size


def test_the_shipped_base_hears_answers_half_and_is_lost_in_silence():
  heard, silent = told()['ability'], told()['ability_silent']
  assert 0.4 < heard['success'] < 0.55
  assert heard['format'] > 0.9
  assert heard['heard'] > 0.85
  chance = np.mean([1 / len(item.choices) for item in WORLD.items('held_out')])
  assert silent['success'] < chance + 3 * silent['success_se']
  assert silent['heard'] < 0.25


@pytest.mark.slow
def test_the_shipped_base_is_as_able_as_it_says():
  """Within three standard errors, on other samples of the same prompts."""
  model = omni_folder.read(SHIPPED)
  tower = omni_folder.load_tower(model, jnp.float32, lambda shapes: shapes)
  found = audio.ability(
    WORLD,
    audio.language_model(audio.Decoder(model.decoder.config)),
    omni_folder.load_decoder(model, jnp.float32, lambda shapes: shapes),
    load_tokenizer(SHIPPED),
    heard_prompts.make_prompts(WORLD, SHIPPED, model.tower.n_window).arrays,
    jax.jit(
      lambda prompts: audio.features(
        audio.AudioTower(model.tower), tower, prompts
      )
    ),
    samples=300,
    max_length=audio.MAX_LENGTH,
    seed=1,
  )
  for fact in ('success', 'format', 'heard', 'consistent'):
    expected = told()['ability']
    error = np.hypot(found[f'{fact}_se'], expected[f'{fact}_se'])
    assert abs(found[fact] - expected[fact]) <= 3 * error + 1e-4, fact
