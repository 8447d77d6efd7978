"""Questions with options, as the text that a model reads."""

from collections.abc import Callable
import dataclasses
import json
import re

from absl import logging
import numpy as np

from adrpo_jax.data.prompts import PromptSet, source_unit
from adrpo_jax.errors import InputError

# (options, id of the prompt) -> the same options in the order that is shown.
Order = Callable[[tuple[str, ...], int], tuple[str, ...]]

THINKING = (
  'First write what you hear and how it leads to the answer, in less than 50 '
  'words, between <think> and </think>. Then write the option that you choose, '
  'word for word, between <answer> and </answer>.'
)
DIRECT = (
  'Write nothing but the option that you choose, word for word, between '
  '<answer> and </answer>.'
)
# Keys of sets that were made for videos, of which only the sound is left.
_VIDEO_KEYS = {'video_id', 'video_name'}
_STREAM = 0x0D7  # of random numbers, apart from those of the order of prompts


def listed(options: tuple[str, ...], prompt_id: int) -> tuple[str, ...]:
  """The order of the file, as official evaluations have it."""
  del prompt_id
  return options


def shuffled(seed: int) -> Order:
  """Makes an order that depends on the seed and the prompt's id alone.

  The right option is the first of 40 % of the questions of a usual set: a model
  would learn the place instead of the sound.
  """

  def order(options: tuple[str, ...], prompt_id: int) -> tuple[str, ...]:
    entropy = np.random.SeedSequence([seed, prompt_id, _STREAM])
    # Raw bits, whose stream no version of NumPy changes.
    bits = np.random.Philox(entropy).random_raw(len(options))
    return tuple(options[i] for i in np.argsort(bits, kind='stable'))

  return order


def posed(
  prompts: PromptSet, order: Order, instruction: str = THINKING
) -> PromptSet:
  """Returns the prompts with question, options and instruction as their text.

  Args:
    prompts: of a source, since an id is the index of a prompt there.
    order: `listed`, or `shuffled(seed)`.
    instruction: how to answer; for questions with options alone.
  """
  if prompts.choices is None:
    return prompts
  heard = _VIDEO_KEYS.intersection(prompts.columns)
  choices = tuple(order(c, i) for i, c in enumerate(prompts.choices))
  texts = tuple(
    _text(_of_sound(text) if heard else text, options, instruction)
    for text, options in zip(prompts.texts, choices, strict=True)
  )
  return dataclasses.replace(prompts, texts=texts, choices=choices)


def check_options(prompts: PromptSet, source: str, *, trained: bool) -> None:
  """Checks that no option is repeated; of those evaluated, it only warns.

  Official sets have such questions, and are evaluated as they are.

  Raises:
    InputError: a question to train on names an option twice.
  """
  repeated = [
    i for i, c in enumerate(prompts.choices or ()) if len(set(c)) < len(c)
  ]
  if not repeated:
    return
  first = repeated[0]
  where = f'{source}, {source_unit(source)} {prompts.lines[first]}'
  options = list((prompts.choices or ())[first])
  if trained:
    raise InputError(
      f'{where}: expected options that differ, got {options}. Remove the one '
      'that is repeated, or the question.'
    )
  logging.warning(
    '%d of %d questions of %s repeat an option, first %s: %s.',
    *(len(repeated), len(prompts), source, where, options),
  )


def _text(question: str, options: tuple[str, ...], instruction: str) -> str:
  if not options:
    return question
  shown = json.dumps(options, ensure_ascii=False)
  return f'{question}\nThe options are {shown}.\n{instruction}'


def _of_sound(question: str) -> str:
  """Asks about the audio what a question asks about a video."""
  return re.sub(r'\bvideo\b', 'audio', question)
