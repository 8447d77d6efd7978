"""Bases of the text worlds: how they are made, and those that we ship."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax import worlds
from adrpo_jax.errors import InputError
from adrpo_jax.modalities.decoder_model import language_model
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.files.tokenizers import load_tokenizer
from adrpo_jax.pretrain import texts as pretrain_text
from adrpo_jax.pretrain.text_ability import ability, answers
from adrpo_jax.worlds import TEXT_WORLDS, sort_or_pass

SHIPPED = pathlib.Path(worlds.__file__).parent
TINY = dataclasses.replace(
  pretrain_text.SMALL_DECODER,
  hidden_size=16,
  intermediate_size=32,
  num_hidden_layers=1,
  num_attention_heads=2,
  num_key_value_heads=1,
  head_dim=8,
)
base = pytest.mark.parametrize('name', TEXT_WORLDS)


def as_it_is(shapes):
  return shapes


def made(workdir, **changes):
  settings = {
    'world': 'sort',
    'steps': 6,
    'batch_size': 8,
    'learning_rate': 1e-2,
    'ema_decay': 0.9,
    'save_every': 2,
    'samples': 20,
    'seed': 0,
    'sizes': TINY,
  }
  return pretrain_text.run(workdir, **(settings | changes))


def loaded(folder):
  found = decoder_folder.read(folder)
  return found, decoder_folder.load(found, jnp.float32, as_it_is)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('made')
  made(folder)
  return folder


@pytest.mark.slow
def test_what_is_made_is_a_folder_that_others_read(workdir):
  folder = workdir / 'base'
  model, params = loaded(folder)
  assert model.config == TINY
  tokenizer = load_tokenizer(folder)
  assert model.fields['eos_token_id'] == tokenizer.eos_token_id == 1
  said = json.loads((folder / 'generation_config.json').read_text())
  assert said['eos_token_id'] == 1
  assert said['max_new_tokens'] == 18
  assert (
    tokenizer.decode(tokenizer('sort: 7 3 =')['input_ids']) == 'sort: 7 3 ='
  )
  record = json.loads((folder / 'pretraining.json').read_text())
  assert record['parameters'] == sum(p.size for p in jax.tree.leaves(params))
  assert record['ability']['samples'] == 20
  last = (workdir / 'answers.jsonl').read_text().splitlines()[-1]
  assert record['loss'] == json.loads(last)['loss']


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(workdir, tmp_path, monkeypatch):
  world, drawn = TEXT_WORLDS['sort'], []

  def pairs(count, seed):
    drawn.append(seed)
    if len(drawn) == 4:
      raise KeyboardInterrupt
    return world.pairs(count, seed)

  monkeypatch.setitem(TEXT_WORLDS, 'sort', world._replace(pairs=pairs))
  with pytest.raises(KeyboardInterrupt):
    made(tmp_path)
  assert not (tmp_path / 'base' / 'model.safetensors').exists()
  made(tmp_path)
  # Steps 0 to 2, the one that failed, and on from the save after step 1.
  assert len(drawn) == 4 + 4
  assert drawn[2:4] == drawn[4:6]
  assert len(set(drawn)) == 6
  for name in ('model.safetensors', 'config.json', 'tokenizer.json'):
    expected = (workdir / 'base' / name).read_bytes()
    assert (tmp_path / 'base' / name).read_bytes() == expected


@pytest.mark.slow
def test_a_run_that_is_over_is_not_trained_again(workdir, monkeypatch):
  before = json.loads((workdir / 'base' / 'pretraining.json').read_text())

  def pairs(count, seed):
    raise AssertionError('nothing is left to learn')

  world = TEXT_WORLDS['sort']._replace(pairs=pairs)
  monkeypatch.setitem(TEXT_WORLDS, 'sort', world)
  assert made(workdir) == before


def test_only_answers_and_their_ends_are_learned(workdir):
  tokenizer = load_tokenizer(workdir / 'base')
  tokens, mask = pretrain_text.encoded(
    [('3 =', '4'), ('=', '12')], tokenizer, 4, 3
  )
  np.testing.assert_array_equal(
    tokens, [[0, 9, 3, 5, 10, 1, 0], [0, 0, 0, 5, 7, 8, 1]]
  )
  np.testing.assert_array_equal(
    mask, [[0, 1, 1, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]
  )
  # Of a model that takes all 42 for as likely, a token costs log 42; of one
  # that knows the ends, the three others do.
  uniform = jnp.zeros((2, 7, 42))
  assert loss_of(uniform, tokens, mask) == pytest.approx(np.log(42), rel=1e-6)
  knows = uniform.at[0, 4, 1].set(99.0).at[1, 5, 1].set(99.0)
  said = loss_of(knows, tokens, mask)
  assert said == pytest.approx(np.log(42) * 3 / 5, rel=1e-6)
  # What is said of the prompt, and behind the end, costs nothing.
  odd = knows.at[:, :3].set(-7.0).at[:, :3, 0].set(9.0).at[0, 5, 3].set(9.0)
  assert loss_of(odd, tokens, mask) == said


def loss_of(scores, tokens, mask):
  model = language_model(Decoder(TINY))._replace(
    states=lambda params, tokens, mask, features: params,
    embedding=lambda params: jnp.eye(42),
  )
  return float(pretrain_text.answer_loss(model, scores, (tokens, mask), 3))


@pytest.mark.slow
def test_the_loss_falls(tmp_path):
  made(tmp_path, steps=100, batch_size=32, save_every=100, ema_decay=0.5)
  first, last = [
    json.loads(line)['loss']
    for line in (tmp_path / 'answers.jsonl').read_text().splitlines()
  ]
  assert last < 0.75 * first
  assert first < 1.2 * np.log(42)


def test_the_ability_is_what_the_judge_says_of_the_answers(workdir):
  model, params = loaded(workdir / 'base')
  tokenizer = load_tokenizer(workdir / 'base')
  world = TEXT_WORLDS['sort']._replace(
    prompts=lambda split: (('2 =', 'even'), ('4 =', 'even'), ('7 =', 'odd')),
    judge=lambda text, answer: {'small': float(text < '3'), 'text': 1.0},
  )
  made_of = language_model(Decoder(model.config))
  found = ability(
    world, made_of, params, tokenizer, samples=3, max_length=4, seed=0
  )
  each = found.pop('by_category')
  assert found['samples'] == 3
  assert found['small'] == pytest.approx(1 / 3, abs=1e-5)
  # √(2/9 · 3/2 / 3)
  assert found['small_se'] == pytest.approx(1 / 3, abs=1e-5)
  assert (found['text'], found['text_se']) == (1, 0)
  assert each['even']['small'] == 0.5
  assert each['odd'] == {
    'samples': 1,
    **{'small': 0, 'small_se': 0, 'text': 1, 'text_se': 0},
  }


def test_answers_are_sampled_from_the_full_pass(workdir):
  """A model whose logits are large answers as the full pass says."""
  model, params = loaded(workdir / 'base')
  tokenizer = load_tokenizer(workdir / 'base')
  made_of = language_model(Decoder(model.config))
  sharp = made_of._replace(
    decode_fns=lambda p, _: made_of.decode_fns(p)._replace(
      logits=lambda found: 1e4 * made_of.decode_fns(p).logits(found)
    )
  )
  texts = ['sort: 7 3 =', 'sort: 1 =']
  given = answers(sharp, params, texts, tokenizer, max_length=5, seed=0)
  end = tokenizer.eos_token_id
  read = jax.jit(made_of.states)
  for text, answer in zip(texts, given, strict=True):
    ids = tokenizer(text)['input_ids']
    start = len(ids)
    while len(ids) < start + 5 and ids[-1] != end:
      row = np.pad(ids, (0, 20 - len(ids)))[None]
      states = read(params, row, np.arange(20)[None] < len(ids))
      scores = states[0, len(ids) - 1] @ made_of.embedding(params).T
      ids.append(int(jnp.argmax(scores)))
    assert answer == tokenizer.decode([i for i in ids[start:] if i != end])


def test_what_does_not_fit_is_refused(workdir, tmp_path):
  with pytest.raises(InputError, match="Did you mean 'sort'"):
    made(tmp_path, world='sorts')
  other = dataclasses.replace(TINY, vocab_size=43)
  with pytest.raises(InputError, match='Expected vocab_size 42'):
    made(tmp_path, sizes=other)
  tokenizer = load_tokenizer(workdir / 'base')
  with pytest.raises(InputError, match="4, the tokens of the answer '1 2' and"):
    pretrain_text.encoded([('=', '1 2')], tokenizer, 4, 3)


@base
def test_a_shipped_base_is_small_and_says_how_it_was_made(name):
  folder = SHIPPED / f'{name}_base'
  assert sum(file.stat().st_size for file in folder.iterdir()) < 1.5 * 2**20
  record = json.loads((folder / 'pretraining.json').read_text())
  assert (record['world'], record['max_completion_length']) == (name, 18)
  assert record['steps'] > 0
  assert record['versions']['jax']
  assert (
    len(load_tokenizer(folder)) == decoder_folder.read(folder).config.vocab_size
  )


@base
def test_a_shipped_base_is_as_able_as_it_says(name):
  """Within three standard errors, on other samples of the same prompts."""
  folder = SHIPPED / f'{name}_base'
  model, params = loaded(folder)
  told = json.loads((folder / 'pretraining.json').read_text())['ability']
  found = ability(
    TEXT_WORLDS[name],
    language_model(Decoder(model.config)),
    params,
    load_tokenizer(folder),
    samples=400,
    max_length=18,
    seed=1,
  )
  for fact in TEXT_WORLDS[name].judge(
    TEXT_WORLDS[name].prompts('train')[0][0], ''
  ):
    error = np.hypot(found[f'{fact}_se'], told[f'{fact}_se'])
    assert abs(found[fact] - told[fact]) <= 3 * error + 1e-4, fact
  if name == 'sort':
    assert 0.25 < told['success'] < 0.6
    assert told['format'] > 0.9
  else:
    assert 0.4 < told['passed'] < 0.6
    assert told['passed'] + told['worked'] > 0.9
    chance = told['success'] / told['worked']
    assert 0.05 < chance < sort_or_pass.PASS_REWARD
