"""Questions on a few sounds, as files: the data of the tiny model that hears.

  questions.jsonl      question, choices, answer, audio, category
  clip_00.wav, ...     16-bit WAV

The clips are of the tones world.
"""

import json
import pathlib
from typing import Any
import wave

import numpy as np

from adrpo_jax.system.cache_files import cache_folder, made_folder
from adrpo_jax.worlds.tones import clips

ASKED = {
  'sound': ('Which sound comes first?', ('beep', 'buzz', 'hiss', 'thud')),
  'music': ('Which note comes first?', ('C', 'D', 'E', 'G')),
  'speech': ('Which vowel comes first?', ('a', 'e', 'i', 'o')),
}
FULL = 32767  # the level of a sample of 1.0


def tiny_questions() -> str:
  """Returns the path of the questions; writes them and their sounds once."""
  folder = made_folder(cache_folder() / 'omni_tiny_sounds', write)
  return str(folder / 'questions.jsonl')


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes twelve questions and their sounds, and returns the folder."""
  folder.mkdir(parents=True, exist_ok=True)
  lines: list[dict[str, Any]] = []
  for category, (question, choices) in ASKED.items():
    for i, answer in enumerate(choices):
      name = f'clip_{len(lines):02d}.wav'
      kinds = (answer, choices[i - 1])
      _write_wav(folder / name, clips.wave(clips.Clip(category, kinds, i)))
      lines.append(
        {
          'question': question,
          'choices': choices,
          'answer': answer,
          'audio': name,
          'category': category,
        }
      )
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (folder / 'questions.jsonl').write_text(text, encoding='utf-8')
  return folder


def _write_wav(path: pathlib.Path, samples: np.ndarray) -> None:
  with wave.open(str(path), 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(clips.RATE)
    file.writeframes(np.round(samples * FULL).astype('<i2').tobytes())
