"""The clips that the prompts of a run play to its model, as a run keeps them.

  waves [P, n] int16           sound, 0 behind the end of a clip
  lengths, rates, seconds [P]  samples kept, samples a second, the whole length
  mels [P, f, M] uint8         log-mel, 0 behind the end of a clip
  frames [P]                   of `mels`
  heard [P] text               what is in a clip

A clip of more than LONGEST samples is cut, since every evaluation keeps it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

LONGEST = 200_000  # samples: 12.5 s at 16 kHz, 0.4 MB
FULL = 32767  # the level of a sample of 1.0 in 16 bits


class Clip(NamedTuple):
  """The sound of one prompt.

  wave:    [n] int16, its first LONGEST samples
  rate:    samples a second
  seconds: the length of the whole clip, which may be more than n / rate
  mel:     [f, M] uint8, the log-mel of `wave`: 0 is the least of the clip, 255
           the most
  heard:   what is in the clip, as text, or '' if that is not known
  """

  wave: np.ndarray
  rate: int
  seconds: float
  mel: np.ndarray
  heard: str = ''

  @property
  def is_cut(self) -> bool:
    """True for a clip that goes on behind `wave`."""
    return len(self.wave) < round(self.seconds * self.rate)


def clip_of(
  wave: np.ndarray, rate: int, mel: np.ndarray, heard: str = ''
) -> Clip:
  """Makes a clip of a wave [n] in [-1, 1] and its log-mel [f, M], both float.

  Samples outside of [-1, 1] are clipped.
  """
  kept = min(len(wave), LONGEST)
  frames = -(-len(mel) * kept // max(len(wave), 1))
  levels = np.round(np.clip(wave[:kept], -1, 1) * FULL).astype(np.int16)
  return Clip(levels, rate, len(wave) / rate, _in_bytes(mel)[:frames], heard)


def _in_bytes(mel: np.ndarray) -> np.ndarray:
  """Returns an array in 256 equal steps, all 0 if it is constant."""
  low, high = mel.min(initial=np.inf), mel.max(initial=-np.inf)
  span = high - low if high > low else 1.0
  return np.round(255 * (mel - low) / span).astype(np.uint8)


def arrays_of(clips: Sequence[Clip]) -> dict[str, np.ndarray]:
  """Returns the arrays of a file for clips of equally many bands."""
  return {
    'waves': _padded([clip.wave for clip in clips]),
    'lengths': np.array([len(clip.wave) for clip in clips]),
    'seconds': np.array([clip.seconds for clip in clips]),
    'rates': np.array([clip.rate for clip in clips]),
    'mels': _padded([clip.mel for clip in clips]),
    'frames': np.array([len(clip.mel) for clip in clips]),
    'heard': np.array([clip.heard for clip in clips]),
  }


def _padded(rows: Sequence[np.ndarray]) -> np.ndarray:
  """Returns rows [·, *] of different lengths in one array, 0 behind each."""
  first = rows[0]
  shape = len(rows), max(map(len, rows)), *first.shape[1:]
  padded = np.zeros(shape, first.dtype)
  for row, values in zip(padded, rows, strict=True):
    row[: len(values)] = values
  return padded


def of_arrays(arrays: Mapping[str, Any]) -> tuple[Clip, ...]:
  """Makes the clips that `arrays_of` took; none where there is no sound.

  Raises:
    LookupError, ValueError: arrays of another form.
  """
  if 'waves' not in arrays:
    return ()
  waves, mels = arrays['waves'], arrays['mels']
  if (waves.ndim, waves.dtype, mels.ndim, mels.dtype) != (
    2, np.int16, 3, np.uint8,
  ):  # fmt: skip
    raise ValueError(f'waves {waves.dtype}{waves.shape}, mels {mels.shape}')
  rows = zip(
    waves,
    arrays['lengths'],
    arrays['rates'],
    arrays['seconds'],
    mels,
    arrays['frames'],
    arrays['heard'],
    strict=True,
  )
  return tuple(
    Clip(wave[:length], int(rate), float(seconds), mel[:frames], str(heard))
    for wave, length, rate, seconds, mel, frames, heard in rows
  )
