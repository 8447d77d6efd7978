"""The features of the sounds of a step, read by several threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
import os
from typing import NamedTuple

import numpy as np

# (name of a sound) -> log-mel [f, M] float32
Features = Callable[[str], np.ndarray]


class ClipFeatures(NamedTuple):
  """Features of P sounds in chunks, as an audio tower takes them.

  mel:    [P, C, 2n, M] float32, 0 behind the end of a sound
  frames: [P] int32, how many of the C · 2n are real
  """

  mel: np.ndarray
  frames: np.ndarray


def make_clip_reader(
  features: Features,
  *,
  n_window: int,
  chunks: Callable[[int], int],
  threads: int = 0,
) -> Callable[..., ClipFeatures]:
  """Makes the function (names [P], least=0) -> features.

  `least` frames have room in the result, however short its sounds are.

  A name that repeats is read once. The first error in the order of the names
  is raised; what is not yet read then is not read.

  Args:
    features: reads a sound; called by several threads.
    n_window: n, half of the frames of a chunk.
    chunks: (the most chunks of a sound here) -> C, at least as many; few
      values of C need few compiled programs.
    threads: how many read at a time; 0 for the cores of the machine, at most 8.
  """
  pool = ThreadPoolExecutor(
    threads or min(8, os.cpu_count() or 1), thread_name_prefix='sounds'
  )

  def read(names: Sequence[str], least: int = 0) -> ClipFeatures:
    waiting = {n: pool.submit(features, n) for n in dict.fromkeys(names)}
    try:
      mels = {name: future.result() for name, future in waiting.items()}
    finally:
      for future in waiting.values():
        future.cancel()
    return in_chunks([mels[name] for name in names], n_window, chunks, least)

  return read


def in_chunks(
  mels: Sequence[np.ndarray],
  n_window: int,
  chunks: Callable[[int], int],
  least: int = 0,
) -> ClipFeatures:
  """Lays features [f, M] of P sounds into chunks of 2n frames.

  Args:
    mels: the features.
    n_window: n.
    chunks: see `make_clip_reader`.
    least: frames that the chunks have room for, however short the sounds are.
  """
  size = 2 * n_window
  frames = np.array([len(mel) for mel in mels], np.int32)
  count = chunks(max(1, -(-max(least, int(frames.max())) // size)))
  laid = np.zeros((len(mels), count * size, mels[0].shape[1]), np.float32)
  for row, mel in zip(laid, mels, strict=True):
    row[: len(mel)] = mel
  return ClipFeatures(laid.reshape(len(mels), count, size, -1), frames)
