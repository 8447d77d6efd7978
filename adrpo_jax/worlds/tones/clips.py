"""Clips of the tones world: a wave as a function of kinds and a seed.

A clip has an address, such as tones:sound:beep,buzz:17 for a beep and a buzz
in the voice of seed 17. Onsets, gaps, lengths, levels, transposition and a
background noise come from raw bits, whose stream is the same in every version
of numpy.
"""

from typing import NamedTuple
import zlib

import numpy as np

from adrpo_jax.worlds.tones.events import EVENTS, RATE, Voice, faded

SECONDS = 2.4
SAMPLES = int(SECONDS * RATE)
LENGTHS = (0.25, 0.38)  # seconds of an event
LEVELS = (0.3, 0.8)  # amplitude of an event
NOISE = (0.001, 0.01)  # amplitude of the background
MARGIN = 0.05  # seconds, at least, before, between and behind events
SCHEME = 'tones:'


class Clip(NamedTuple):
  """A clip by what it is made from."""

  category: str
  kinds: tuple[str, ...]
  seed: int


def address(clip: Clip) -> str:
  """Returns the address of a clip: tones:sound:beep,buzz:17."""
  return f'{SCHEME}{clip.category}:{",".join(clip.kinds)}:{clip.seed}'


def from_address(text: str) -> Clip:
  """Reads an address.

  Raises:
    ValueError: the text is no address of this world.
  """
  category, _, rest = text.removeprefix(SCHEME).partition(':')
  listed, _, seed = rest.partition(':')
  kinds = tuple(listed.split(','))
  known = EVENTS.get(category, {})
  if (
    not text.startswith(SCHEME)
    or not (2 <= len(kinds) <= 4 and set(kinds) <= set(known))
    or not (seed.isascii() and seed.isdigit())
  ):
    raise ValueError(
      'Expected the address of a clip with two to four kinds of one category, '
      f'such as tones:sound:beep,buzz:17, got {text!r}.'
    )
  return Clip(category, kinds, int(seed))


def wave(clip: Clip) -> np.ndarray:
  """Renders a clip: [SAMPLES] float32 within [−1, 1]."""
  bits = np.random.Philox(
    np.random.SeedSequence([zlib.crc32(address(clip).encode()), clip.seed])
  )

  def uniform(low: float, high: float, count: int) -> np.ndarray:
    return low + (high - low) * (bits.random_raw(count) >> 11) * 2.0**-53

  count = len(clip.kinds)
  lengths = uniform(*LENGTHS, count)
  shares = uniform(0.2, 1.0, count + 1)
  free = SECONDS - lengths.sum() - MARGIN * (count + 1)
  gaps = MARGIN + free * shares / shares.sum()
  onsets = np.cumsum(gaps)[:-1] + np.cumsum(lengths) - lengths
  levels = uniform(*LEVELS, count)
  transposition = 2 ** uniform(-1 / 6, 1 / 6, 1)[0]
  octave = 5 + int(bits.random_raw() % 2)
  pitch = uniform(110, 230, 1)[0]
  mixed = uniform(-1, 1, SAMPLES) * uniform(*NOISE, 1)
  for kind, onset, length, level in zip(
    clip.kinds, onsets, lengths, levels, strict=True
  ):
    size, start = int(length * RATE), int(onset * RATE)
    voice = Voice(transposition, octave, pitch, uniform(-1, 1, size))
    event = EVENTS[clip.category][kind](np.arange(size) / RATE, voice)
    mixed[start : start + size] += level * faded(event)
  return np.clip(mixed, -1, 1).astype(np.float32)
