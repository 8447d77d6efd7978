"""Clips that a run keeps: sound in 16 bits, log-mel in 256 steps."""

import dataclasses

import numpy as np
import pytest
from test_text_file import made

from adrpo_jax.samples import clips, text_file
from adrpo_jax.samples.clips import LONGEST, clip_of

MEL = np.array([[-1.5, 0.5], [0.5, 2.5], [-0.5, -1.5]])


def test_samples_are_rounded_to_16_bits_and_clipped():
  wave = np.array([0.0, 0.5, -1.0, 1.0, 1.5, -7.0, 1e-6])
  clip = clip_of(wave, 8000, MEL)
  assert clip.wave.tolist() == [0, 16384, -32767, 32767, 32767, -32767, 0]
  assert clip.wave.dtype == np.int16
  assert clip.seconds == 7 / 8000
  assert not clip.is_cut


def test_the_loudest_of_a_mel_is_255_and_silence_is_0():
  clip = clip_of(np.zeros(480), 16000, MEL)
  assert clip.mel.tolist() == [[0, 128], [128, 255], [64, 0]]
  silent = clip_of(np.zeros(480), 16000, np.full((3, 2), -1.5))
  assert not silent.mel.any()


def test_a_long_clip_is_cut_with_its_mel():
  clip = clip_of(np.zeros(4 * LONGEST), 16000, np.zeros((8, 2)))
  assert len(clip.wave) == LONGEST
  assert clip.mel.shape == (2, 2)
  assert clip.seconds == LONGEST / 4000
  assert clip.is_cut


def test_clips_of_different_length_come_back(tmp_path):
  kept = (
    clip_of(np.linspace(-1, 1, 500), 16000, MEL, 'beep, buzz'),
    clip_of(np.linspace(0.2, 0.1, 90), 16000, MEL[:1], '<π>'),
  )
  path = tmp_path / 'base.npz'
  text_file.write(path, made(clips=kept))
  read = text_file.read(path).clips
  for clip, again in zip(kept, read, strict=True):
    np.testing.assert_array_equal(clip.wave, again.wave)
    np.testing.assert_array_equal(clip.mel, again.mel)
    assert again[1:3] + again[4:] == clip[1:3] + clip[4:]
  assert read[0].wave.dtype == np.int16


def test_prompts_without_sound_have_no_clips(tmp_path):
  text_file.write(tmp_path / 'base.npz', made())
  assert text_file.read(tmp_path / 'base.npz').clips == ()


def test_a_clip_belongs_to_each_prompt(tmp_path):
  one = (clip_of(np.zeros(480), 16000, MEL),)
  with pytest.raises(ValueError, match='a clip for each of 2 prompts'):
    text_file.write(tmp_path / 'base.npz', made(clips=one))
  assert not (tmp_path / 'base.npz').exists()


@pytest.mark.parametrize(
  'changed',
  [
    {'waves': np.zeros((2, 480))},
    {'mels': np.zeros((2, 6), np.uint8)},
    {'heard': np.array(['one'])},
  ],
)
def test_arrays_of_another_form_are_refused(changed):
  two = clips.arrays_of([clip_of(np.zeros(480), 16000, MEL)] * 2)
  assert len(clips.of_arrays(two)) == 2
  with pytest.raises(ValueError):
    clips.of_arrays(two | changed)


def test_a_file_with_clips_keeps_the_other_fields(tmp_path):
  kept = made(clips=(clip_of(np.zeros(480), 16000, MEL),) * 2)
  text_file.write(tmp_path / 'base.npz', kept)
  text_file.write(tmp_path / 'bare.npz', dataclasses.replace(kept, clips=()))
  with_clips, bare = (
    text_file.read(tmp_path / name) for name in ('base.npz', 'bare.npz')
  )
  for name in text_file.NAMES:
    np.testing.assert_array_equal(
      getattr(with_clips, name), getattr(bare, name)
    )
