"""Log-mel features beside transformers, and the file that describes them."""

import functools
import json

import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.models.audio.log_mel import (
  MelSettings,
  make_log_mel,
  mel_filters,
)
from adrpo_jax.models.audio.preprocessor_file import read_mel_settings

OMNI = MelSettings(128, 16000, 160, 400, 300)
TONES = MelSettings(64, 16000, 320, 512, 3)
FILE = {
  'chunk_length': 300,
  'dither': 0.0,
  'feature_extractor_type': 'WhisperFeatureExtractor',
  'feature_size': 128,
  'hop_length': 160,
  'image_mean': [0.5, 0.5, 0.5],
  'image_processor_type': 'Qwen2VLImageProcessor',
  'max_pixels': 12845056,
  'merge_size': 2,
  'n_fft': 400,
  'n_samples': 4800000,
  'nb_max_frames': 30000,
  'padding_side': 'right',
  'padding_value': 0.0,
  'patch_size': 14,
  'processor_class': 'Qwen2_5OmniProcessor',
  'return_attention_mask': True,
  'sampling_rate': 16000,
  'temporal_patch_size': 2,
}


@functools.cache
def extractor_of(settings):
  module = pytest.importorskip(
    'transformers.models.whisper.feature_extraction_whisper'
  )
  return module, module.WhisperFeatureExtractor(**settings._asdict())


def of_transformers(wave, settings, **arguments):
  """(features [M, f], mask [f]) by NumPy, without PyTorch."""
  module, extractor = extractor_of(settings)
  rate = settings.sampling_rate
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(module, 'is_torch_available', lambda: False)
    made = extractor(
      wave, sampling_rate=rate, return_attention_mask=True, **arguments
    )
  return np.asarray(made['input_features'][0]), made['attention_mask'][0]


def noise(samples):
  return np.random.default_rng(0).normal(0, 0.2, samples).astype(np.float32)


def click_at_the_end(samples):
  wave = 1e-3 * noise(samples)
  wave[-3:] = 1
  return wave


def tone(samples):
  return np.sin(2 * np.pi * 440 / 16000 * np.arange(samples, dtype=np.float32))


@pytest.mark.parametrize('settings', [OMNI, TONES], ids=['omni', 'tones'])
@pytest.mark.parametrize('made', [noise, click_at_the_end, tone, np.zeros])
@pytest.mark.parametrize('samples', [321, 1600, 12345])
def test_features_are_those_of_transformers(samples, made, settings):
  wave = made(samples).astype(np.float32)
  behind = -(-samples // settings.hop_length) + 4
  theirs, mask = of_transformers(
    wave, settings, max_length=behind * settings.hop_length
  )
  ours = make_log_mel(settings)(wave)
  assert ours.dtype == np.float32
  assert ours.shape == (mask.sum(), settings.feature_size)
  assert np.abs(ours.T - theirs[:, mask == 1]).max() < 1e-4


@pytest.mark.parametrize('samples', [15000, 15900, 16000])
@pytest.mark.parametrize('made', [noise, click_at_the_end])
def test_a_clip_as_long_as_the_limit_ends_as_theirs(made, samples):
  """There is no room for silence behind it: they reflect its end."""
  settings = OMNI._replace(chunk_length=1)
  theirs, mask = of_transformers(made(samples), settings)
  ours = make_log_mel(settings)(made(samples))
  assert ours.shape[0] == mask.sum() == settings.frames(samples)
  assert np.abs(ours.T - theirs[:, mask == 1]).max() < 1e-4


def test_silence_is_one_number_and_the_floor_eighty_decibels_below():
  assert (make_log_mel(OMNI)(np.zeros(4000)) == -1.5).all()
  mel = make_log_mel(OMNI)(click_at_the_end(4000))
  # The peak lies in a frame that is not returned.
  assert 0 < mel.max() - mel.min() < 2


def test_filters_cover_the_band_with_equal_areas():
  filters = mel_filters(OMNI)
  width = 8000 / 200
  wide = filters[:, -40:]  # The narrow ones fall between bins.
  np.testing.assert_allclose(wide.sum(0) * width, 1, atol=0.05)


def write(folder, fields, name='preprocessor_config.json'):
  (folder / name).write_text(json.dumps(fields))
  return folder


def test_the_file_of_a_folder_is_obeyed(tmp_path):
  assert read_mel_settings(write(tmp_path, FILE)) == OMNI
  write(tmp_path, {})
  assert read_mel_settings(tmp_path) == MelSettings(80, 16000, 160, 400, 30)
  newer = {'feature_extractor': {'feature_size': 64, 'hop_length': 320}}
  write(tmp_path, newer, 'processor_config.json')
  assert read_mel_settings(tmp_path) == MelSettings(64, 16000, 320, 400, 30)


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'feature_size': 0}, 'feature_size in .* from 1 to'),
    ({'hop_length': 160.5}, 'hop_length in .* a whole number'),
    ({'sampling_rate': '16000'}, 'sampling_rate in .* a whole number'),
    ({'dither': 1e-4}, r'dither = 0 in .*, got 0\.0001'),
    ({'padding_value': 1.0}, 'padding_value = 0 '),
    ({'padding_side': 'left'}, "padding_side = 'right' .* got 'left'"),
    ({'feature_extractor_type': 'CLIPImageProcessor'}, 'Whisper'),
    ({'n_samples': 480000}, 'n_samples = 4800000 '),
    ({'nb_max_frames': 3000}, 'nb_max_frames = 30000 '),
    ({'mel_floor': 1e-5}, r'got mel_floor = 1e-05, .* not implemented'),
  ],
)
def test_a_field_that_is_not_implemented_is_refused(fields, said, tmp_path):
  with pytest.raises(InputError, match=said):
    read_mel_settings(write(tmp_path, FILE | fields))


def test_a_folder_without_the_file_is_named(tmp_path):
  with pytest.raises(InputError, match='preprocessor_config'):
    read_mel_settings(tmp_path)
