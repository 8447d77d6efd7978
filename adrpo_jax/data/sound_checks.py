"""Checks the sounds of prompts before a run begins, with file and line."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from adrpo_jax.data.prompts import PromptSet, source_unit
from adrpo_jax.data.sound_files import sound_length
from adrpo_jax.errors import InputError

Encoded = TypeVar('Encoded')
THREADS = 16  # They wait for files more than they compute.


def sound_lengths(
  prompts: PromptSet, source: str, *, rate: int, shortest: int, seconds: float
) -> np.ndarray:
  """Returns the samples of each prompt's sound at a rate: [N] int64.

  Args:
    prompts: with sounds.
    source: of the prompts, for messages.
    rate: of the model's features.
    shortest: the samples of which features have one token.
    seconds: of the longest sound that is allowed.

  Raises:
    InputError: a sound is missing, damaged, too short or too long; names the
      first of them, and the line of its prompt.
  """
  names = prompts.audio or ()
  distinct = dict.fromkeys(names)
  with ThreadPoolExecutor(THREADS) as pool:
    waiting = {n: pool.submit(sound_length, n, rate) for n in distinct}
    try:
      for i, name in enumerate(names):
        try:
          check_length(name, waiting[name].result(), rate, shortest, seconds)
        except InputError as error:
          raise InputError(f'{place(prompts, source, i)}: {error}') from error
    finally:
      for future in waiting.values():
        future.cancel()
  return np.array([waiting[name].result() for name in names], np.int64)


def encoded(
  prompts: PromptSet, source: str, encode: Callable[[str], Encoded]
) -> list[Encoded]:
  """Returns encode(text) of each prompt.

  Raises:
    InputError: `encode` raises a ValueError for a text, as for one that holds
      the marker of sounds; names the first of them.
  """
  made = []
  for i, text in enumerate(prompts.texts):
    try:
      made.append(encode(text))
    except ValueError as error:
      raise InputError(f'{place(prompts, source, i)}: {error}') from error
  return made


def check_prompt_lengths(
  prompts: PromptSet,
  source: str,
  *,
  words: Sequence[int],
  sounds: Sequence[int],
  longest: int,
) -> None:
  """Checks that the tokens of text and sound fit into a prompt.

  A prompt that is too long is no reason to cut a sound, or to leave a question
  out without a word.

  Args:
    prompts: [N].
    source: of the prompts, for messages.
    words: [N], tokens of the text of a prompt with its template.
    sounds: [N], tokens of its sound.
    longest: tokens that a prompt may have.

  Raises:
    InputError: one has more; names the first of them.
  """
  for i, (word, sound) in enumerate(zip(words, sounds, strict=True)):
    if word + sound > longest:
      name = f' of {prompts.audio[i]}' if prompts.audio else ''
      raise InputError(
        f'{place(prompts, source, i)}: expected at most {longest} tokens, got '
        f'{sound}{name} and {word} of the text. Raise '
        '--config.prompts.max_prompt_length, or cut the sound.'
      )


def place(prompts: PromptSet, source: str, i: int) -> str:
  """'FILE, line 3': where the prompt of an id stands."""
  if not prompts.lines:
    return source
  return f'{source}, {source_unit(source)} {prompts.lines[i]}'


def check_length(
  name: str, samples: int, rate: int, shortest: int, seconds: float
) -> None:
  """Checks that a sound has features, and is no longer than is allowed.

  Raises:
    InputError: it is shorter or longer.
  """
  if samples < shortest:
    raise InputError(
      f'{name}: expected a sound of at least {shortest} samples at {rate} Hz, '
      f'got {samples}: a model hears nothing in fewer. Remove the prompt, or '
      'put silence behind the sound.'
    )
  if samples > seconds * rate:
    raise InputError(
      f'{name}: expected a sound of at most {seconds:g} s, got '
      f'{samples / rate:.1f} s. Cut it, or raise --config.audio.max_seconds.'
    )
