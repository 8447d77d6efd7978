"""Times the sounds of a step: on the way of the loop, and read ahead.

  pip install '.[audio]'
  PYTHONPATH=. python benchmarks/sound_reading.py --out=FILE.json

A step has P clips of 10 s, 44.1 kHz, stereo, FLAC, made into log-mel of 128
bins at 16 kHz. The step itself is a wait, as for an accelerator that computes:
what counts is how long the loop stands still for sounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np
import soundfile

from adrpo_jax.data.clip_features import make_clip_reader
from adrpo_jax.data.read_ahead import read_ahead
from adrpo_jax.data.sound_files import read_sound
from adrpo_jax.models.audio.log_mel import MelSettings, make_log_mel

SETTINGS = MelSettings(128, 16000, 160, 400, 300)
SECONDS, RATE = 10, 44100


def main() -> None:
  """Prints and writes the median seconds of a step that are lost to sounds."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--prompts', type=int, default=32)
  parser.add_argument('--steps', type=int, default=5)
  parser.add_argument('--step_seconds', type=float, default=6.0)
  parser.add_argument('--out', default='')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    names = write_clips(pathlib.Path(folder), arguments.prompts)
    result = {
      name: lost_seconds(read, arguments.steps, arguments.step_seconds)
      for name, read in readings(names).items()
    }
  result |= {**vars(arguments), 'cores': os.cpu_count()}
  print(json.dumps(result, indent=2))
  if arguments.out:
    pathlib.Path(arguments.out).write_text(json.dumps(result, indent=2) + '\n')


def write_clips(folder: pathlib.Path, count: int) -> list[str]:
  """Writes clips of noise and returns their paths."""
  rng = np.random.default_rng(0)
  names = [str(folder / f'{i}.flac') for i in range(count)]
  for name in names:
    wave = rng.normal(0, 0.1, (SECONDS * RATE, 2))
    soundfile.write(name, np.clip(wave, -1, 1), RATE)
  return names


def readings(names: list[str]) -> dict:
  """Returns the ways to read, (step) -> `ClipFeatures`, by name."""
  log_mel = make_log_mel(SETTINGS)

  def features(name: str) -> np.ndarray:
    return log_mel(read_sound(name, SETTINGS.sampling_rate))

  def of(threads: int):
    read = make_clip_reader(features, n_window=100, chunks=int, threads=threads)
    return lambda step: read(names)

  return {
    'one_thread': of(1),
    'threads': of(0),
    'threads_ahead': read_ahead(of(0)),
  }


def lost_seconds(read, steps: int, step_seconds: float) -> float:
  """Returns the median seconds that `read` holds the loop, after the first."""
  lost = []
  for step in range(steps + 1):
    since = time.perf_counter()
    read(step)
    lost.append(time.perf_counter() - since)
    time.sleep(step_seconds)
  return round(statistics.median(lost[1:]), 4)


if __name__ == '__main__':
  main()
