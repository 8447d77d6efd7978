"""The events of the tones world: what a beep, a note or a vowel sounds like.

Each is a function (t [S], Voice) -> wave [S] of about one unit of amplitude,
with t in seconds from the start of the event.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RATE = 16000  # samples a second
FADE = 0.008  # seconds, of the start and the end of an event
SEMITONES = {'C': 0, 'D': 2, 'E': 4, 'G': 7, 'A': 9}  # above C
# The first three formants of a vowel in Hz, after Peterson and Barney, 1952.
FORMANTS = {
  'a': (730, 1090, 2440),
  'e': (530, 1840, 2480),
  'i': (270, 2290, 3010),
  'o': (570, 840, 2410),
  'u': (300, 870, 2240),
}
BANDWIDTHS = (60, 90, 150)  # Hz, of the three formants
GAINS = (1.0, 0.6, 0.3)  # of the three formants


class Voice(NamedTuple):
  """What varies from clip to clip, or from event to event.

  transposition: a factor of the frequencies of sounds, near 1
  octave:        of notes, 5 or 6
  pitch:         the fundamental of vowels in Hz
  noise:         [S] uniform in [−1, 1)
  """

  transposition: float
  octave: int
  pitch: float
  noise: np.ndarray


Wave = Callable[[np.ndarray, Voice], np.ndarray]


def _sine(frequency: float, seconds: np.ndarray) -> np.ndarray:
  return np.sin(2 * np.pi * frequency * seconds)


def beep(t: np.ndarray, voice: Voice) -> np.ndarray:
  """A sine of 1 kHz."""
  return _sine(1000 * voice.transposition, t)


def buzz(t: np.ndarray, voice: Voice) -> np.ndarray:
  """A square wave of 120 Hz."""
  return np.sign(_sine(120 * voice.transposition, t))


def hiss(t: np.ndarray, voice: Voice) -> np.ndarray:
  """White noise."""
  return voice.noise[: len(t)]


def clicks(t: np.ndarray, voice: Voice) -> np.ndarray:
  """A click of 2 ms every 60 ms."""
  return voice.noise[: len(t)] * np.exp(-(t % 0.06) / 0.002)


def chirp(t: np.ndarray, voice: Voice) -> np.ndarray:
  """A sine that rises from 0.5 to 3 kHz."""
  mean = 500 + 1250 * t / t[-1]  # of the frequency from the start to t
  return _sine(voice.transposition, mean * t)


def thud(t: np.ndarray, voice: Voice) -> np.ndarray:
  """A sine of 80 Hz that fades."""
  return _sine(80 * voice.transposition, t) * np.exp(-t / 0.12)


def note(name: str) -> Wave:
  """A note of four partials that fades, in equal temperament at 440 Hz."""

  def wave(t: np.ndarray, voice: Voice) -> np.ndarray:
    from_a4 = SEMITONES[name] - 9 + 12 * (voice.octave - 4)
    pitch = 440 * 2 ** (from_a4 / 12)
    partials = sum(_sine(k * pitch, t) / k for k in range(1, 5))
    return partials * np.exp(-t / 0.3) / 2

  return wave


def vowel(name: str) -> Wave:
  """Harmonics of the pitch up to 4 kHz, in the three formants of a vowel."""

  def wave(t: np.ndarray, voice: Voice) -> np.ndarray:
    frequencies = voice.pitch * np.arange(1, int(4000 / voice.pitch) + 1)
    distances = [
      (frequencies - formant) / width
      for formant, width in zip(FORMANTS[name], BANDWIDTHS, strict=True)
    ]
    gains = np.asarray(GAINS) @ (1 / (1 + np.square(distances)))
    turning = np.exp(2j * np.pi * voice.pitch * t)
    harmonics = np.polynomial.polynomial.polyval(turning, [0, *gains]).imag
    return harmonics / np.abs(harmonics).max()

  return wave


EVENTS: dict[str, dict[str, Wave]] = {
  'sound': {
    'beep': beep,
    'buzz': buzz,
    'hiss': hiss,
    'clicks': clicks,
    'chirp': chirp,
    'thud': thud,
  },
  'music': {name: note(name) for name in SEMITONES},
  'speech': {name: vowel(name) for name in FORMANTS},
}
CATEGORIES = tuple(EVENTS)


def faded(wave: np.ndarray) -> np.ndarray:
  """Returns a wave with a short fade at both ends, against clicks."""
  ramp = np.minimum(np.arange(len(wave)) / (FADE * RATE), 1)
  return wave * ramp * ramp[::-1]
