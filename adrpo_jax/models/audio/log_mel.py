"""Log-mel features of a clip, as transformers' `WhisperFeatureExtractor`.

  P = |rfft(Hann · frame)|²      frames of n_fft samples, every hop_length
  y = log₁₀ max(P · filters, 10⁻¹⁰)
  y = max(y, max(y) − 8)         the floor is of the whole clip
  mel = (y + 4) / 4              silence is −1.5

In float64, since |rfft|² spans eight decades.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np

from adrpo_jax.models.config_types import Between, Size

HIGHEST = 8000.0  # Hz; the filters end there at any sampling rate
KNEE = 1000.0  # Hz; the mel scale is linear below and logarithmic above

Hertz = Annotated[int, Between(1000, 384_000)]
Samples = Annotated[int, Between(1, 2**16)]
Seconds = Annotated[int, Between(1, 3600)]


class MelSettings(NamedTuple):
  """Fields of a preprocessor_config.json.

  feature_size:  M, mel bins
  sampling_rate: samples a second
  hop_length:    samples from one frame to the next
  n_fft:         samples of a frame
  chunk_length:  seconds of the longest clip
  """

  feature_size: Size
  sampling_rate: Hertz
  hop_length: Samples
  n_fft: Annotated[int, Between(4, 2**16)]
  chunk_length: Seconds

  @property
  def longest(self) -> int:
    """Samples of the longest clip."""
    return self.chunk_length * self.sampling_rate

  @property
  def shortest(self) -> int:
    """Samples of the shortest clip with a token: of three frames."""
    return 2 * self.hop_length + 1

  def frames(self, samples: int) -> int:
    """Returns f, the frames of a clip of so many samples."""
    return -(-samples // self.hop_length)


def make_log_mel(settings: MelSettings) -> Callable[[np.ndarray], np.ndarray]:
  """Makes the function (wave [samples]) -> log-mel [f, M] float32.

  A wave is one channel at the sampling rate, in [−1, 1], of at most
  `settings.longest` samples. Its loudest frame may lie behind frame f, where
  the last samples leave the window: all frames that hear a sample are
  computed, and f of them returned.
  """
  n, hop = settings.n_fft, settings.hop_length
  window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
  filters = mel_filters(settings)

  def log_mel(wave: np.ndarray) -> np.ndarray:
    frames = settings.frames(len(wave))
    heard = frames + settings.frames(n)  # The last ones hear zeros alone.
    length = min(heard * hop, settings.longest)
    padded = np.pad(wave.astype(np.float64), (0, length - len(wave)))
    padded = np.pad(padded, n // 2, 'reflect')
    slices = np.lib.stride_tricks.sliding_window_view(padded, n)[::hop]
    spectrum = np.fft.rfft(slices[: length // hop] * window)
    power = spectrum.real**2 + spectrum.imag**2
    y = np.log10(np.maximum(power @ filters, 1e-10))
    y = np.maximum(y, y.max() - 8)
    return ((y[:frames] + 4) / 4).astype(np.float32)

  return log_mel


def mel_filters(settings: MelSettings) -> np.ndarray:
  """Returns [n_fft // 2 + 1, M]: triangles of equal area on Slaney's scale."""
  mels = np.linspace(0, _mel(HIGHEST), settings.feature_size + 2)
  edges = np.where(
    mels < _mel(KNEE),
    mels * 200 / 3,
    KNEE * np.exp((mels - _mel(KNEE)) * np.log(6.4) / 27),
  )
  bins = np.linspace(0, settings.sampling_rate // 2, settings.n_fft // 2 + 1)
  low, mid, high = edges[:-2], edges[1:-1], edges[2:]
  rising = (bins[:, None] - low) / (mid - low)
  falling = (high - bins[:, None]) / (high - mid)
  return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def _mel(hertz: float) -> float:
  if hertz < KNEE:
    return 3 * hertz / 200
  return 15 + 27 * np.log(hertz / KNEE) / np.log(6.4)
