"""What a reward of text is, and how many samples are judged at once.

A reward of text is a function (prompt, answer, known) -> a number, or numbers
by name, 'reward' among them, or None where it has none. `known` is what is
known of the prompt, its reference answer for most, or None. It is total: no
answer, however odd or empty, makes it raise, and one that cannot be read earns
what a wrong one does. None is for what is not the answer's fault: no reference,
or a judge that did not come to an end. Such a sample is left out of the step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from adrpo_jax.errors import InputError

TextReward = Callable[
  [str, str, str | None], float | Mapping[str, float] | None
]


class TextPrompt(NamedTuple):
  """What a judge of texts is told of a prompt: its text, what is known."""

  text: str
  known: str | None = None


def text_prompts(
  texts: Sequence[str], known: Sequence[str | None]
) -> tuple[TextPrompt, ...]:
  """Of all prompts. Raises InputError where there is not one each."""
  if len(texts) != len(known):
    raise InputError(
      f'Expected one known answer, or None, for each of {len(texts)} prompts, '
      f'got {len(known)}.'
    )
  return tuple(map(TextPrompt, texts, known))


def in_batches(
  reward: TextReward, measures: Sequence[str] = ()
) -> Callable[
  [Sequence[TextPrompt], Sequence[str]], np.ndarray | dict[str, np.ndarray]
]:
  """The host function (B prompts, B answers) -> [B] float32.

  NaN stands for no number.

  Args:
    reward: of one answer.
    measures: names of what it says beside 'reward' that is wanted; with any,
      the function returns name -> [B], 'reward' and these.
  """
  wanted = ('reward', *measures)

  def batch(
    prompts: Sequence[TextPrompt], answers: Sequence[str]
  ) -> np.ndarray | dict[str, np.ndarray]:
    said = [
      reward(prompt.text, answer, prompt.known)
      for prompt, answer in zip(prompts, answers, strict=True)
    ]
    table = np.array([_numbers(one, wanted) for one in said], np.float32)
    columns = dict(zip(wanted, table.T, strict=True))
    return columns if measures else columns['reward']

  return batch


def _numbers(
  said: float | Mapping[str, float] | None, wanted: Sequence[str]
) -> list[float]:
  if said is None:
    return [np.nan] * len(wanted)
  named = said if isinstance(said, Mapping) else {'reward': said}
  return [named[name] for name in wanted]
