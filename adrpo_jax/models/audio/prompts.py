"""Prompts of a clip and a text, as the arrays of a batch.

A clip of f frames stands in its prompt as N copies of the marker, one for each
token of the tower, between a start and an end that are words. Rows are filled
up to few lengths, since every length is a program of its own.
"""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from adrpo_jax.models.decoder.chat_tokenizer import bucket, left_padded

SHORTEST = 16  # tokens; rows are padded to 16, 32, ..., 256,
ROOM = 128  # and from there to multiples of this
SILENCE = -1.5  # log-mel of a clip of zeros


class AudioPrompts(TypedDict):
  """The condition of prompts with a clip each.

  tokens: [P, L] int32, padded on the left
  mask:   [P, L] bool, False for padding
  places: [P, L] int32, the index of an audio token, −1 where a word stands
  mel:    [P, C, 2n, M] float32, log-mel in chunks of 2n frames
  frames: [P] int32, of each clip
  """

  tokens: Any
  mask: Any
  places: Any
  mel: Any
  frames: Any


def audio_prompts(
  rows: Sequence[Sequence[int]],
  mel: np.ndarray,
  frames: np.ndarray,
  *,
  marker: int,
  pad: int,
  longest: int,
) -> AudioPrompts:
  """Makes the arrays of prompts.

  Args:
    rows: token ids of each prompt, with as many markers as its clip has tokens.
    mel: [P, C, 2n, M].
    frames: [P].
    marker: the token that stands for audio.
    pad: the token that fills up rows.
    longest: tokens of a prompt, at most.

  Raises:
    InputError: a prompt is longer.
  """
  padded = left_padded(rows, room(max(map(len, rows)), longest), pad)
  tokens, mask = padded['tokens'], padded['mask']
  audio = (tokens == marker) & mask
  return AudioPrompts(
    tokens=tokens,
    mask=mask,
    places=np.where(audio, audio.cumsum(1) - 1, -1).astype(np.int32),
    mel=mel,
    frames=frames,
  )


def silenced(condition: AudioPrompts) -> AudioPrompts:
  """Returns the prompts with a clip of zeros, as long, in place of each."""
  mel = np.asarray(condition['mel'])
  clips, chunks, size, _ = mel.shape
  ends = np.asarray(condition['frames'])[:, None]
  heard = (np.arange(chunks * size) < ends).reshape(clips, chunks, size, 1)
  silence = np.where(heard, np.float32(SILENCE), np.zeros_like(mel))
  return AudioPrompts(**{**condition, 'mel': silence})


def room(length: int, longest: int) -> int:
  """Returns the positions of a row that holds so many tokens.

  >>> [room(length, 1000) for length in (9, 200, 257, 900, 990)]
  [16, 256, 384, 1000, 1000]
  """
  if length <= 2 * ROOM:
    return bucket(length, longest, SHORTEST)
  return min(-(-length // ROOM) * ROOM, longest)


def most_chunks(longest: int, n_window: int) -> int:
  """Returns the chunks of a clip that has `longest` tokens."""
  return -(-(4 * longest + 2) // (2 * n_window))
