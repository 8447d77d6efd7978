"""Compares the thinker of Qwen2.5-Omni with transformers: numbers, folders."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

from closeness import TOLERANCE, distance
from safetensors.numpy import load_file
import tiny_omni
from tiny_omni import AUDIO_TOKEN, END, PAD, START

from adrpo_jax.models import lora
from adrpo_jax.models.audio.tower import AudioTower, tokens_of
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.decoder.decoder import (
  Decoder,
  output_embedding,
  position_ids,
)
from adrpo_jax.models.decoder.log_probs import logits
from adrpo_jax.models.omni import export
from adrpo_jax.models.omni import folder as omni_folder
from adrpo_jax.models.tiny import omni as omni_tiny

pytestmark = pytest.mark.parity

LOOP = Compute(scan_layers=True)
CLASS = transformers.Qwen2_5OmniThinkerForConditionalGeneration
LENGTHS = (37, 20, 58)  # frames of three clips: 9, 5 and 14 tokens


def prompts(after=((5, 6, 7), (8, 9, 10, 11), (12,))):
  """Three left-padded prompts of one clip each: tokens, mask and places."""
  rows, counts = [], [tokens_of(f) for f in LENGTHS]
  for count, words in zip(counts, after, strict=True):
    rows.append([3, 4, START, *count * [AUDIO_TOKEN], END, *words])
  length = max(map(len, rows))
  tokens = np.array([[PAD] * (length - len(row)) + row for row in rows])
  mask = np.array([[0] * (length - len(r)) + [1] * len(r) for r in rows], bool)
  marked = tokens == AUDIO_TOKEN
  return tokens, mask, np.where(marked, np.cumsum(marked, 1) - 1, -1)


MELS = tiny_omni.clips(LENGTHS)
TOKENS, MASK, PLACES = prompts()


def their_logits(model, tokens=TOKENS, mask=MASK):
  for module in model.modules():
    if hasattr(module, 'rope_deltas'):
      module.rope_deltas = None  # of an earlier call
  with torch.no_grad():
    return model(
      input_ids=torch.tensor(tokens),
      attention_mask=torch.tensor(mask).long(),
      **tiny_omni.their_audio(MELS),
    ).logits.numpy()


def load(folder):
  model = omni_folder.read(folder)
  return model, *(
    part(model, jnp.float32, lambda shapes: shapes)
    for part in (omni_folder.load_decoder, omni_folder.load_tower)
  )


@functools.partial(jax.jit, static_argnums=(0, 1))
def forward(decoder, tower_sizes, params, tower, mel, frames, row):
  tokens, mask, places = row
  features = AudioTower(tower_sizes, LOOP).apply(tower, mel, frames)
  states = Decoder(decoder, LOOP).apply(
    params, tokens, position_ids(mask), mask, features, places
  )
  return logits(states, output_embedding(params))


def our_logits(model, params, tower, row=(TOKENS, MASK, PLACES)):
  mel_frames = tiny_omni.chunked(MELS, 2 * model.tower.n_window)
  sizes = model.decoder.config, model.tower
  return np.array(forward(*sizes, params, tower, *mel_frames, row))


@pytest.fixture(scope='module')
def theirs():
  return tiny_omni.theirs()


@pytest.fixture(scope='module')
def folder(theirs, tmp_path_factory):
  """A folder of the thinker alone."""
  path = tmp_path_factory.mktemp('thinker')
  theirs.save_pretrained(path)
  return path


@pytest.fixture(scope='module')
def expected(theirs):
  return their_logits(theirs)


def test_logits(folder, expected):
  result = our_logits(*load(folder))
  assert distance(result[MASK], expected[MASK]) < TOLERANCE


def test_greedy(theirs, folder):
  """Token for token; each step of ours reads the whole row again."""
  steps = 8
  with torch.no_grad():
    answer = theirs.generate(
      input_ids=torch.tensor(TOKENS),
      attention_mask=torch.tensor(MASK).long(),
      **tiny_omni.their_audio(MELS),
      max_new_tokens=steps,
      min_new_tokens=steps,
      do_sample=False,
      pad_token_id=PAD,
      eos_token_id=63,
    )[:, -steps:]
  model, params, tower = load(folder)
  room = np.full((3, steps), PAD)
  tokens = np.concatenate([TOKENS, room], 1)
  mask = np.concatenate([MASK, room < 0], 1)
  places = np.concatenate([PLACES, room * 0 - 1], 1)
  for at in range(TOKENS.shape[1], tokens.shape[1]):
    last = our_logits(model, params, tower, (tokens, mask, places))[:, at - 1]
    last[:, 63] = -np.inf  # The end is not allowed to come.
    tokens[:, at], mask[:, at] = last.argmax(-1), True
  np.testing.assert_array_equal(tokens[:, -steps:], answer.numpy())


def test_an_answer_may_hold_the_token_of_sound(theirs, folder):
  """Its word embedding stands there, whatever the prompt's clip sounds like."""
  said = np.tile([[9, AUDIO_TOKEN, 10]], (3, 1))
  tokens = np.concatenate([TOKENS, said], 1)
  mask = np.concatenate([MASK, said > 0], 1)
  places = np.concatenate([PLACES, said * 0 - 1], 1)
  result = our_logits(*load(folder), (tokens, mask, places))
  # Theirs reads embeddings, where nothing is replaced by token.
  sound = their_audio_rows(theirs)
  embedded = theirs.get_input_embeddings()(torch.tensor(tokens)).detach()
  for row, place in enumerate(places):
    embedded[row, place >= 0] = sound[row]
  inner = theirs.model.language_model
  with torch.no_grad():
    positions = np.maximum(mask.cumsum(1) - 1, 0)
    states = inner(
      inputs_embeds=embedded,
      attention_mask=torch.tensor(mask).long(),
      position_ids=torch.tensor(positions)[None].expand(3, -1, -1),
    ).last_hidden_state
    expected = theirs.lm_head(states).numpy()
  assert distance(result[mask], expected[mask]) < TOLERANCE


def their_audio_rows(theirs):
  with torch.no_grad():
    rows = theirs.get_audio_features(
      **tiny_omni.their_audio(MELS), return_dict=True
    ).last_hidden_state
  return rows.split([int(tokens_of(f)) for f in LENGTHS])


def test_a_whole_folder_of_theirs(theirs, folder, tmp_path):
  """`thinker.…`, in a sharded set, with the config of the whole model."""
  config = transformers.Qwen2_5OmniConfig(
    thinker_config=theirs.config.to_dict(), enable_audio_output=False
  )
  whole = transformers.Qwen2_5OmniForConditionalGeneration(config)
  whole.thinker.load_state_dict(theirs.state_dict())
  whole.save_pretrained(tmp_path, max_shard_size='100KB')
  assert (tmp_path / 'model.safetensors.index.json').is_file()
  _, *params = load(tmp_path)
  for ours, alone in zip(params, load(folder)[1:], strict=True):
    jax.tree.map(np.testing.assert_array_equal, ours, alone)


def complete(folder):
  """A folder in transformers, which finds all that it looks for there."""
  model, info = CLASS.from_pretrained(folder, output_loading_info=True)
  assert not info['missing_keys']
  assert not info['unexpected_keys']
  return model.eval()


def test_a_folder_of_ours(folder, tmp_path):
  model, params, tower = load(folder)
  params['params']['norm']['scale'] = params['params']['norm']['scale'] * 1.5
  export.save(tmp_path, model, params)
  ours, again = our_logits(model, params, tower), complete(tmp_path)
  assert distance(ours[MASK], their_logits(again)[MASK]) < TOLERANCE
  before, after = (
    load_file(path / 'model.safetensors') for path in (folder, tmp_path)
  )
  assert set(before) == set(after)
  for name in before:
    same = np.array_equal(before[name], after[name])
    assert same == (name != 'model.norm.weight'), name


def test_the_tiny_folder(tmp_path):
  """The thinker's class loads it as it is, and what we save of it."""
  written = omni_tiny.write(tmp_path / 'tiny')
  model, params, tower = load(written)
  export.save(tmp_path / 'saved', model, params)
  tokens = np.where(TOKENS == AUDIO_TOKEN, model.ids.marker, TOKENS)
  ours = our_logits(model, params, tower, (tokens, MASK, PLACES))
  for folder in (written, tmp_path / 'saved'):
    expected = their_logits(complete(folder), tokens)
    assert distance(ours[MASK], expected[MASK]) < TOLERANCE
  tokenizer = transformers.AutoTokenizer.from_pretrained(written)
  content = [{'type': 'audio'}, {'type': 'text', 'text': 'What?'}]
  text = tokenizer.apply_chat_template(
    [{'role': 'user', 'content': content}],
    tokenize=False,
    add_generation_prompt=True,
  )
  assert text == (
    '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n'
    '<|im_start|>user\n<|audio_bos|><|AUDIO|><|audio_eos|>What?<|im_end|>\n'
    '<|im_start|>assistant\n'
  )
  ids = tokenizer(text, add_special_tokens=False)['input_ids']
  assert ids.count(model.ids.marker) == 1


def test_adapters_load_in_peft(theirs, folder, tmp_path):
  """They change the decoder alone, and give our numbers."""
  peft = pytest.importorskip('peft')
  model, params, tower = load(folder)
  adapters = lora.init(params, 3, jax.random.key(0), lora.DECODER)
  for i, adapter in enumerate(adapters.values()):
    shape = adapter['b'].shape
    adapter['b'] = 0.1 * jax.random.normal(jax.random.key(i), shape)
  export.save_adapters(tmp_path, adapters, 2.0, str(folder))
  ours = our_logits(model, lora.attach(params, adapters, 2.0), tower)
  base = CLASS.from_pretrained(folder).eval()
  adapted = peft.PeftModel.from_pretrained(base, tmp_path).eval()
  result = their_logits(adapted)
  assert distance(result[MASK], ours[MASK]) < TOLERANCE
  assert distance(result[MASK], their_logits(theirs)[MASK]) > 0.01
  changed = {n for n, _ in adapted.named_parameters() if 'lora_' in n}
  assert len(changed) == 2 * 7 * 2  # A and B of seven kernels in two layers
  assert all('.language_model.layers.' in name for name in changed)
