"""The whole path of a thinker: prompts with sounds, training, export."""

import base64
import io
import json
import re
import wave

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
import small_run

from adrpo_jax.builders.tasks import tiny_sounds
from adrpo_jax.errors import InputError
from adrpo_jax.models.tiny import omni as omni_tiny
from adrpo_jax.worlds import AUDIO_WORLDS


def config_of(**changes):
  dotted = {name.replace('__', '.'): v for name, v in changes.items()}
  return small_run.preset_config('tiny_hf', dotted, 'audio')


def call(workdir, *more, file='audio'):
  """Runs the command line on the tiny model of a config's file."""
  path = f'{small_run.ROOT}/configs/{file}.py:tiny_hf'
  return small_run.call(f'--config={path}', f'--workdir={workdir}', *more)


@pytest.fixture(scope='module')
def run():
  return small_run.build(config_of())


def test_the_condition_holds_the_sounds_of_the_prompts(run):
  prompts = run.prompts_of(np.array([0, 5, 0])).condition
  counts = (prompts['places'] >= 0).sum(1)
  # 2.4 s at 20 ms a frame: 120 frames, 30 tokens, three chunks of 40 frames.
  assert prompts['frames'].tolist() == [120] * 3
  assert counts.tolist() == [30] * 3
  assert prompts['mel'].shape == (3, 4, 40, omni_tiny.TOWER.num_mel_bins)
  np.testing.assert_array_equal(prompts['mel'][0], prompts['mel'][2])
  assert np.abs(prompts['mel'][0] - prompts['mel'][1]).max() > 0.1
  marker = omni_tiny.IDS['<|AUDIO|>']
  np.testing.assert_array_equal(
    prompts['tokens'] == marker, prompts['places'] >= 0
  )


def test_the_questions_of_the_tiny_model_are_files(tmp_path):
  tiny_sounds.write(tmp_path)
  lines = (tmp_path / 'questions.jsonl').read_text().splitlines()
  assert len(lines) == 12
  for line in map(json.loads, lines):
    assert line['answer'] in line['choices']
    with wave.open(str(tmp_path / line['audio'])) as file:
      assert (file.getframerate(), file.getnframes()) == (16000, 38400)


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    (
      {'audio__max_seconds': 1.0},
      r'questions.jsonl, line 1: .*at most 1 s, got 2.4 s',
    ),
    ({'prompts__max_prompt_length': 64}, 'expected at most 64 tokens, got 30'),
    ({'audio__max_seconds': 99.0}, 'max_seconds of at most 30'),
    (
      {'model__train_tower': True, 'model__lora_rank': 2},
      'lora_rank=0 with --config.model.train_tower',
    ),
  ],
)
def test_what_cannot_be_trained_is_said_at_the_start(changes, said):
  with pytest.raises(InputError, match=said):
    small_run.build(config_of(**changes))


@pytest.mark.parametrize(
  ('file', 'more', 'said'),
  [
    ('audio', [], 'Expected one --audio=FILE'),
    ('llm', ['--audio=a.wav'], 'Expected no --audio'),
    ('audio', ['--audio=a.wav'] * 3, r'or 2 beside 2 prompts .* got 3'),
  ],
)
def test_sounds_belong_to_prompts_of_a_model_that_hears(
  file, more, said, tmp_path
):
  words = ['--mode=sample', '--prompt=a', '--prompt=b', *more]
  status, _, err = call(tmp_path, *words, file=file)
  assert status == 2
  assert re.search(said, err)


@pytest.mark.slow
def test_the_tower_is_trained_if_the_config_says_so():
  moved = {}
  for trains in (False, True):
    run = small_run.build(config_of(model__train_tower=trains))
    state = run.init()
    full = run.policy(state, run.frozen)
    assert ('tower' in state.params) == trains
    prompts = run.prompts_at(0)
    samples = run.rollout(state.params, run.frozen, prompts, jax.random.key(0))
    scores = run.reward(prompts, run.decode(run.frozen, samples))
    rewards = np.arange(16.0).reshape(4, 4) % 3
    scores = scores._replace(rewards=rewards, valid=np.ones((4, 4), bool))
    state, _ = run.update(
      state, run.frozen, samples, scores, prompts, jax.random.key(1)
    )
    after = run.policy(state, run.frozen)
    moved[trains] = max(
      float(np.abs(a - b).max())
      for a, b in zip(
        *map(jax.tree.leaves, (after['tower'], full['tower'])), strict=True
      )
    )
  assert moved[False] == 0
  assert moved[True] > 1e-5


@pytest.mark.slow
def test_train_sample_export(tmp_path):
  assert call(tmp_path)[0] == 0
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert summary['steps'] == 2
  assert 'silent_audio' in summary['final']
  assert '<audio' in (tmp_path / 'report.html').read_text()
  sound = str(tiny_sounds.write(tmp_path / 'sounds') / 'clip_03.wav')
  words = ['--mode=sample', '--prompt=What is heard?', f'--audio={sound}']
  assert call(tmp_path, *words, '--count=2')[0] == 0
  (line,) = (tmp_path / 'drawn/answers.jsonl').read_text().splitlines()
  drawn = json.loads(line)
  assert (drawn['prompt'], drawn['audio']) == ('What is heard?', sound)
  assert len(drawn['answers']) == 2
  assert call(tmp_path, '--mode=export')[0] == 0
  tensors = load_file(tmp_path / 'export/model.safetensors')
  assert 'audio_tower.conv1.weight' in tensors
  assert 'visual.merger.ln_q.weight' in tensors


@pytest.mark.slow
def test_the_report_of_the_world_plays_its_clips(tmp_path):
  path = f'{small_run.ROOT}/configs/audio.py:debug'
  status, _, err = small_run.call(f'--config={path}', f'--workdir={tmp_path}')
  assert status == 0, err
  final = json.loads((tmp_path / 'summary.json').read_text())['final']
  assert final.keys() >= {'success', 'format', 'heard', 'consistent'}
  html = (tmp_path / 'report.html').read_text()
  sounds = re.findall('src="data:audio/wav;base64,([^"]*)"', html)
  world = AUDIO_WORLDS['tones']
  item = next(i for i in world.items('held_out') if i.text in html)
  assert world.heard(item.audio) in html
  with wave.open(io.BytesIO(base64.b64decode(sounds[0]))) as file:
    assert file.getframerate() == world.rate
    levels = np.frombuffer(file.readframes(38400), '<i2') / 32767
  clips = [world.wave(i.audio) for i in world.items('held_out')]
  assert min(np.abs(clip - levels).max() for clip in clips) <= 1 / 32767
