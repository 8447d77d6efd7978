"""Rows of prompts with a clip each."""

import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.models.audio.log_mel import MelSettings, make_log_mel
from adrpo_jax.models.audio.prompts import (
  audio_prompts,
  most_chunks,
  room,
  silenced,
)
from adrpo_jax.models.audio.tower import tokens_of

MARKER, PAD = 9, 0


def test_places_count_the_audio_tokens_of_a_row():
  rows = [[5, MARKER, MARKER, MARKER, 6], [5, 7, MARKER, 6, 6, 6, 6]]
  mel, frames = np.zeros((2, 1, 4, 3), np.float32), np.array([12, 4])
  found = audio_prompts(rows, mel, frames, marker=MARKER, pad=PAD, longest=40)
  assert found['tokens'].shape == found['places'].shape == (2, 16)
  assert found['places'][0].tolist() == [-1] * 12 + [0, 1, 2, -1]
  assert found['places'][1].tolist() == [-1] * 11 + [0] + [-1] * 4
  np.testing.assert_array_equal(found['mask'].sum(1), [5, 7])
  assert found['mel'] is mel
  assert found['frames'] is frames


def test_padding_of_the_marker_is_no_audio():
  """Some tokenizers pad with any token."""
  found = audio_prompts(
    [[5, MARKER, 6]],
    np.zeros((1, 1, 4, 3)),
    np.array([4]),
    marker=MARKER,
    pad=MARKER,
    longest=40,
  )
  assert found['places'][0].tolist() == [-1] * 14 + [0, -1]


def test_a_prompt_that_is_too_long_is_refused():
  with pytest.raises(InputError, match='at most 4 tokens, got one of 5'):
    audio_prompts(
      [[1] * 5], np.zeros(0), np.zeros(0), marker=MARKER, pad=PAD, longest=4
    )


@pytest.mark.parametrize('n_window', [2, 20, 100])
def test_the_most_chunks_hold_the_longest_clip(n_window):
  for longest in (1, 7, 50, 752):
    frames = max(f for f in range(4 * longest + 8) if tokens_of(f) <= longest)
    assert most_chunks(longest, n_window) == -(-frames // (2 * n_window))


def test_rooms_are_few():
  rooms = {room(length, 1000) for length in range(1, 1001)}
  assert rooms == {16, 32, 64, 128, 256, 384, 512, 640, 768, 896, 1000}


def test_silence_is_as_long_as_the_clip():
  settings = MelSettings(16, 16000, 160, 400, 30)
  zeros = make_log_mel(settings)(np.zeros(5 * settings.hop_length, np.float32))
  mel = np.ones((2, 2, 4, settings.feature_size), np.float32)
  frames = np.array([5, 8], np.int32)
  rows = [[MARKER] * tokens_of(int(f)) for f in frames]
  heard = audio_prompts(rows, mel, frames, marker=MARKER, pad=PAD, longest=40)
  silent = silenced(heard)
  assert zeros.shape[0] == 5
  laid = silent['mel'].reshape(2, 8, -1)
  np.testing.assert_array_equal(laid[0, :5], zeros)
  np.testing.assert_array_equal(laid[0, 5:], 0)
  np.testing.assert_array_equal(laid[1], zeros[0, 0])
  assert all(silent[name] is heard[name] for name in heard if name != 'mel')
  assert mel.min() == 1
