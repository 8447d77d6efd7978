"""Sounds of every kind of file, their checks, and clips in chunks."""

import dataclasses
import importlib.util
import pathlib
import threading
import types

import numpy as np
import pytest

from adrpo_jax.data import (
  prompts,
  sound_checks,
  sound_files,
  tfds_prompts,
)
from adrpo_jax.data.clip_features import in_chunks, make_clip_reader
from adrpo_jax.errors import InputError
from adrpo_jax.models.audio.log_mel import MelSettings, make_log_mel

soundfile = pytest.importorskip('soundfile', reason='needs the extra audio')
soxr = pytest.importorskip('soxr', reason='needs the extra audio')

RATE = 16000


def tone(samples, rate, hertz=440.0):
  return 0.5 * np.sin(2 * np.pi * hertz / rate * np.arange(samples))


def stored(path, samples=8000, rate=RATE, channels=1, **form):
  wave = tone(samples, rate)
  wave = np.stack([wave] * channels, 1) if channels > 1 else wave
  soundfile.write(path, wave, rate, **form)
  return str(path)


@pytest.mark.parametrize(
  ('name', 'rate', 'form', 'error'),
  [
    ('a.wav', 16000, {'subtype': 'PCM_16'}, 1e-4),
    ('a.wav', 8000, {'subtype': 'PCM_U8'}, 2e-2),
    ('a.wav', 44100, {'subtype': 'FLOAT'}, 1e-4),
    ('a.flac', 22050, {}, 1e-3),
    ('a.ogg', 48000, {}, 0.1),
    ('a.opus', 48000, {'format': 'OGG', 'subtype': 'OPUS'}, 0.1),
    ('a.mp3', 44100, {}, 0.1),
  ],
)
@pytest.mark.parametrize('channels', [1, 2])
def test_a_sound_of_any_kind(name, rate, form, error, channels, tmp_path):
  path = stored(tmp_path / name, rate, rate, channels, **form)
  wave = sound_files.read_sound(path, RATE)
  assert wave.dtype == np.float32
  assert wave.ndim == 1
  assert len(wave) == sound_files.sound_length(path, RATE)
  assert abs(len(wave) - RATE) < 100
  middle = slice(4000, 12000)
  power = np.abs(np.fft.rfft(wave[middle] * np.hanning(8000)))
  assert np.argmax(power) == 220  # 440 Hz in bins of 2 Hz
  expected = tone(RATE, RATE)[middle]
  if name != 'a.opus':
    assert np.abs(wave[middle] - expected).max() < error


def test_channels_are_averaged_and_the_length_is_that_of_librosa(tmp_path):
  path = tmp_path / 'a.wav'
  soundfile.write(path, np.array([[0.5, -0.5], [0.25, 0.75]]), RATE)
  np.testing.assert_allclose(sound_files.read_sound(str(path), RATE), [0, 0.5])
  # 1001 · 16000 / 22050 = 726.3, rounded up; soxr alone makes 726.
  wave = tone(1001, 22050).astype(np.float32)
  made = sound_files.resampled(wave, 22050, RATE)
  assert made.shape == (727,)
  bare = soxr.resample(wave, 22050, RATE)
  np.testing.assert_array_equal(made[: len(bare)], bare)
  assert sound_files.samples_at(44100, 44100, RATE) == RATE


def test_a_file_in_a_bucket(tmp_path, monkeypatch):
  path = stored(tmp_path / 'a.flac')

  class Bucket:
    def __init__(self, name):
      self.name = name

    def read_bytes(self):
      if 'missing' in self.name:
        raise OSError('no such object')
      return pathlib.Path(path).read_bytes()

  monkeypatch.setattr(sound_files.epath, 'Path', Bucket)
  wave = sound_files.read_sound('gs://a/b.flac', RATE)
  assert len(wave) == sound_files.sound_length('gs://a/b.flac', RATE) == 8000
  with pytest.raises(InputError, match=r'gs://a/missing: .*no such object'):
    sound_files.sound_length('gs://a/missing', RATE)


def cut(path, share):
  content = pathlib.Path(path).read_bytes()
  pathlib.Path(path).write_bytes(content[: int(len(content) * share)])
  return path


@pytest.mark.parametrize('read', ['read_sound', 'sound_length'])
def test_a_file_that_is_no_sound_is_named(read, tmp_path):
  function = getattr(sound_files, read)
  for name, content, said in (
    ('text.wav', b'no sound', 'libsndfile cannot read'),
    ('empty.mp3', b'', 'libsndfile cannot read'),
    ('zeros.flac', bytes(4000), 'libsndfile cannot read'),
  ):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf'{name}: .*{said}'):
      function(str(tmp_path / name), RATE)
  for path in (tmp_path, tmp_path / 'missing.wav'):
    with pytest.raises(InputError, match=f'{path.name}: .*readable file'):
      function(str(path), RATE)


def test_a_file_that_was_cut_off_is_told_by_its_end(tmp_path):
  path = cut(stored(tmp_path / 'a.flac', 80000), 0.5)
  with pytest.raises(InputError, match=r'a\.flac: .*libsndfile cannot read'):
    sound_files.sound_length(path, RATE)


def asked(tmp_path, *names):
  return prompts.PromptSet(
    ('a',) * len(names),
    ('',) * len(names),
    audio=tuple(str(tmp_path / name) for name in names),
    lines=tuple(range(3, 3 + len(names))),
  )


def lengths(prompt_set, seconds=1.0):
  return sound_checks.sound_lengths(
    prompt_set, 'p.jsonl', rate=RATE, shortest=321, seconds=seconds
  )


def test_sounds_are_measured_before_a_run(tmp_path):
  for samples in (320, 321, 16000, 16001):
    stored(tmp_path / f'{samples}.wav', samples)
  good = asked(tmp_path, '321.wav', '16000.wav', '321.wav')
  np.testing.assert_array_equal(lengths(good), [321, 16000, 321])
  with pytest.raises(InputError, match=r'p\.jsonl, line 4: .*320\.wav: .*321'):
    lengths(asked(tmp_path, '321.wav', '320.wav', 'missing.wav'))
  with pytest.raises(InputError, match=r'line 3: .*most 1 s.*max_seconds'):
    lengths(asked(tmp_path, '16001.wav'))
  with pytest.raises(InputError, match=r'line 5: .*missing\.wav: '):
    lengths(asked(tmp_path, '321.wav', '321.wav', 'missing.wav'))


def test_a_prompt_may_not_have_more_tokens_than_a_prompt_may_have(tmp_path):
  two = asked(tmp_path, 'a.wav', 'b.wav')
  fits = {'words': [10, 20], 'longest': 30}
  sound_checks.check_prompt_lengths(two, 'p.json', sounds=[20, 10], **fits)
  with pytest.raises(
    InputError, match=r'line 4: .*30 tokens, got 11 of .*b\.wav and 20 of'
  ):
    sound_checks.check_prompt_lengths(two, 'p.json', sounds=[20, 11], **fits)


class Set:
  """What tfds gives for a set with sounds, two examples of it."""

  info = types.SimpleNamespace(
    features=dict.fromkeys(
      ['question', 'audio', 'sampling_rate', 'choices', 'answer']
    )
  )

  def as_data_source(self, split, decoders):
    return [
      {
        'question': b'which?',
        'audio': np.full(400, 2**14 * (1 - i), np.int16 if i < 2 else float),
        'sampling_rate': np.int32(RATE),
        'choices': np.array([b'a', b'b'], object),
        'answer': np.int64(1),
      }
      for i in range(3)
    ]


def test_sounds_of_a_data_set(monkeypatch):
  monkeypatch.setattr(tfds_prompts, '_prepared', lambda *_: Set())
  monkeypatch.setattr(tfds_prompts, '_only', lambda *_: {})
  tfds_prompts._sounds.cache_clear()
  read = prompts.load('tfds:heard', audio_feature='', choices_feature='')
  assert read.audio == tuple(f'tfds:heard#{i}' for i in range(3))
  assert (read.answers[0], read.choices[0]) == ('b', ('a', 'b'))
  assert (sound_files.read_sound('tfds:heard#0', RATE) == 0.5).all()
  assert sound_files.sound_length('tfds:heard#1', RATE) == 400
  with pytest.raises(InputError, match=r'tfds:heard#2: .*int16'):
    sound_files.read_sound('tfds:heard#2', RATE)
  with pytest.raises(InputError, match=r'tfds:heard#9: .*IndexError'):
    sound_files.read_sound('tfds:heard#9', RATE)
  tfds_prompts._sounds.cache_clear()


def test_a_text_that_cannot_be_encoded_is_named_with_its_line(tmp_path):
  def encode(text):
    if '<' in text:
      raise ValueError('expected a text without <')
    return len(text)

  asks = prompts.PromptSet(('ab', 'c'), ('', ''), lines=(1, 4))
  assert sound_checks.encoded(asks, 'p.json', encode) == [2, 1]
  asks = dataclasses.replace(asks, texts=('ab', '<'))
  with pytest.raises(
    InputError, match=r'p\.json, line 4: expected a text with'
  ):
    sound_checks.encoded(asks, 'p.json', encode)


def test_features_lie_in_chunks_with_zeros_behind():
  mels = [np.full((f, 3), f, np.float32) for f in (5, 8, 9)]
  clips = in_chunks(mels, 2, lambda count: 4)
  assert clips.mel.shape == (3, 4, 4, 3)
  assert clips.frames.tolist() == [5, 8, 9]
  rows = clips.mel.reshape(3, 16, 3)
  for row, f in zip(rows, (5, 8, 9), strict=True):
    assert (row[:f] == f).all()
    assert not row[f:].any()
  assert in_chunks(mels, 2, int).mel.shape[1] == 3
  assert in_chunks(mels[:1], 2, int).mel.shape[1] == 2


def test_clips_keep_their_order_and_are_read_side_by_side():
  barrier, read = threading.Barrier(3, timeout=20), []

  def features(name):
    read.append(name)
    barrier.wait()  # Three threads wait here for each other.
    return np.full((int(name), 1), int(name), np.float32)

  reader = make_clip_reader(features, n_window=2, chunks=int, threads=3)
  clips = reader(['3', '1', '3', '2'])
  assert clips.frames.tolist() == [3, 1, 3, 2]
  assert clips.mel[:, 0, 0, 0].tolist() == [3, 1, 3, 2]
  assert sorted(read) == ['1', '2', '3']


def test_the_first_error_in_order_is_raised_and_the_reader_goes_on():
  def features(name):
    if name.startswith('bad'):
      raise InputError(name)
    return np.ones((4, 1), np.float32)

  reader = make_clip_reader(features, n_window=2, chunks=int, threads=2)
  with pytest.raises(InputError, match='bad 1'):
    reader(['a', 'bad 1', 'bad 2', 'b'])
  assert reader(['a']).frames.tolist() == [4]


def real_sounds():
  """Words of alsa-utils or effects of pygame: the smallest of each format."""
  folder = pathlib.Path('/usr/share/sounds/alsa')
  if not folder.is_dir():
    installed = importlib.util.find_spec('pygame')
    if installed is None:
      pytest.skip('needs the sounds of alsa-utils or of pygame')
    folder = pathlib.Path(installed.origin).parent / 'examples/data'
  files = sorted(folder.iterdir(), key=lambda f: f.stat().st_size)
  by_format = {f.suffix: f for f in reversed(files)}
  return [f for s, f in by_format.items() if s in ('.wav', '.ogg', '.mp3')]


def test_real_sounds(monkeypatch):
  """From the file to features, beside those of transformers."""
  files = real_sounds()
  module = pytest.importorskip(
    'transformers.models.whisper.feature_extraction_whisper'
  )
  monkeypatch.setattr(module, 'is_torch_available', lambda: False)
  settings = MelSettings(128, RATE, 160, 400, 30)
  extractor = module.WhisperFeatureExtractor(**settings._asdict())
  assert files
  for file in files:
    wave = sound_files.read_sound(str(file), RATE)
    assert len(wave) == sound_files.sound_length(str(file), RATE)
    assert 0.001 < np.abs(wave).max() < 1.5
    wave = wave[:RATE]
    mel = make_log_mel(settings)(wave)
    theirs = extractor(
      wave, sampling_rate=RATE, max_length=(len(mel) + 4) * 160
    )['input_features'][0][:, : len(mel)]
    assert np.abs(mel.T - theirs).max() < 1e-4, file
