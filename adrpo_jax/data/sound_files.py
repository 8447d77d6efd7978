"""Sounds of files and of tfds sets, as one channel at the rate of a model.

WAV, FLAC, OGG, Opus, MP3 and all else that libsndfile reads, with any number of
channels at any rate, on a disk or in a bucket. Channels are averaged, then
resampled by soxr: to the bit what `librosa.load` returns.
"""

from collections.abc import Iterator
import contextlib
import importlib
import io
import math
from typing import Any

from etils import epath
import numpy as np

from adrpo_jax.data import tfds_prompts
from adrpo_jax.errors import InputError

TFDS = 'tfds:'


def read_sound(name: str, rate: int) -> np.ndarray:
  """Reads a sound: float32 [samples], in [−1, 1], `rate` samples a second.

  Raises:
    InputError: there is no such file, or it is damaged; names it.
  """
  wave, own_rate = _samples(name)
  if not np.isfinite(wave).all():
    raise InputError(f'{name}: expected finite samples, got NaN or infinity.')
  mono = wave if wave.ndim == 1 else wave.mean(1)
  return resampled(mono, own_rate, rate)


def resampled(wave: np.ndarray, own_rate: int, rate: int) -> np.ndarray:
  """Returns a wave [samples] at another rate, `samples_at` of them."""
  if own_rate == rate:
    return wave
  samples = samples_at(len(wave), own_rate, rate)
  made = _library('soxr').resample(wave, own_rate, rate)[:samples]
  return np.pad(made, (0, samples - len(made)))


def samples_at(samples: int, own_rate: int, rate: int) -> int:
  """The samples of a sound once it is resampled, rounded as librosa does."""
  return math.ceil(samples * (rate / own_rate))


def sound_length(name: str, rate: int) -> int:
  """Returns the samples of a sound at a rate; only MP3 is decoded for it.

  The header of other files says how many there are, and the last one has to be
  there: a file that was cut off lacks it.

  Raises:
    InputError: there is no such file, or it is damaged; names it.
  """
  if name.startswith(TFDS):
    wave, own_rate = tfds_prompts.sound(name)
    return samples_at(len(wave), own_rate, rate)
  with (
    _opened(name) as (soundfile, source),
    soundfile.SoundFile(source, closefd=False) as file,
  ):
    samples = _counted(file) if file.format == 'MP3' else file.frames
    if samples and file.format != 'MP3':
      file.seek(samples - 1)
      if not len(file.read(1)):
        raise _damaged(name, f'it ends before its {samples} samples')
    return samples_at(samples, file.samplerate, rate)


def _counted(file: Any) -> int:
  """The samples that are in a file: the header of an MP3 only guesses."""
  samples = 0
  while block := len(file.read(2**18, dtype='float32')):
    samples += block
  return samples


def _samples(name: str) -> tuple[np.ndarray, int]:
  """([samples] or [samples, channels] float32, rate) of a file or example."""
  if name.startswith(TFDS):
    return tfds_prompts.sound(name)
  with _opened(name) as (soundfile, source):
    return soundfile.read(source, dtype='float32', closefd=False)


@contextlib.contextmanager
def _opened(name: str) -> Iterator[tuple[Any, int | io.BytesIO]]:
  """Yields soundfile, and what it opens: a descriptor, or bytes of a bucket.

  Raises:
    InputError: the file is missing, or libsndfile cannot read it.
  """
  soundfile = _library('soundfile')
  try:
    path = epath.Path(name)
    remote = '://' in name
    stream = io.BytesIO(path.read_bytes()) if remote else path.open('rb')
  except Exception as error:  # The clients of buckets raise their own kinds.
    raise InputError(
      f'{name}: expected a readable file of sound, got: '
      f'{getattr(error, "strerror", None) or error}. Correct the path; in a '
      'prompt file it is relative to the folder of that file.'
    ) from error
  with stream:
    source = stream if isinstance(stream, io.BytesIO) else stream.fileno()
    try:
      yield soundfile, source
    except soundfile.LibsndfileError as error:
      raise _damaged(name, error.error_string) from error


def _damaged(name: str, reason: str) -> InputError:
  return InputError(
    f'{name}: expected a sound as WAV, FLAC, OGG, Opus or MP3, got a file that '
    f'libsndfile cannot read: {reason.strip().rstrip(".")}. Copy it again, or '
    'convert it: ffmpeg -i FILE FILE.flac'
  )


def _library(name: str) -> Any:
  try:
    return importlib.import_module(name)
  except (ImportError, OSError) as error:
    raise InputError(
      f'Expected the library {name} to read sounds; here it does not work: '
      f"{error}. Install the extra: pip install 'adrpo_jax[audio]'."
    ) from error
