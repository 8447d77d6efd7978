"""The protocol of rewards of text, and how many samples are judged at once.

A reward of text is a function (prompt, answer, reference) -> a number, or
numbers by name, 'reward' among them, or None where it has none. `reference` is
what the source of the prompts says of the prompt, for most its right answer, or
None. The function is total: no answer, however odd or empty, makes it raise,
and an answer that cannot be read earns what a wrong one does. None is for what
is not the answer's fault: there is no reference, or the judge did not finish.
Such a sample is left out of the step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from adrpo_jax.errors import InputError

TextReward = Callable[
  [str, str, str | None], float | Mapping[str, float] | None
]


class TextPrompt(NamedTuple):
  """A prompt as a judge of texts gets it.

  text:      what is asked
  reference: the right answer, for most judges; None where there is none
  choices:   the options that are offered, none for an open question
  """

  text: str
  reference: str | None = None
  choices: tuple[str, ...] = ()


def text_prompts(
  texts: Sequence[str],
  references: Sequence[str | None],
  choices: Sequence[Sequence[str]] | None = None,
) -> tuple[TextPrompt, ...]:
  """The records of all prompts. `choices` is None where no prompt has any.

  Raises:
    InputError: the numbers of texts, of references and of choices differ.
  """
  if len(texts) != len(references):
    raise InputError(
      f'Expected a reference answer or None for each of {len(texts)} prompts, '
      f'got {len(references)}.'
    )
  if choices is None:
    return tuple(map(TextPrompt, texts, references))
  if len(texts) != len(choices):
    raise InputError(
      f'Expected the options of each of {len(texts)} prompts, got '
      f'{len(choices)}.'
    )
  return tuple(map(TextPrompt, texts, references, map(tuple, choices)))


def in_batches(
  reward: TextReward, measures: Sequence[str] = ()
) -> Callable[
  [Sequence[TextPrompt], Sequence[str]], np.ndarray | dict[str, np.ndarray]
]:
  """A host function (B prompts, B answers) -> [B] float32.

  NaN stands for no number.

  Args:
    reward: judges one answer.
    measures: names of the numbers to return beside 'reward'; with any, the
      function returns name -> [B], for 'reward' and these.
  """
  wanted = ('reward', *measures)

  def batch(
    prompts: Sequence[TextPrompt], answers: Sequence[str]
  ) -> np.ndarray | dict[str, np.ndarray]:
    judgments = [
      reward(prompt.text, answer, prompt.reference)
      for prompt, answer in zip(prompts, answers, strict=True)
    ]
    table = np.array([_numbers(one, wanted) for one in judgments], np.float32)
    columns = dict(zip(wanted, table.T, strict=True))
    return columns if measures else columns['reward']

  return batch


def _numbers(
  judgment: float | Mapping[str, float] | None, wanted: Sequence[str]
) -> list[float]:
  if judgment is None:
    return [np.nan] * len(wanted)
  named = judgment if isinstance(judgment, Mapping) else {'reward': judgment}
  return [named[name] for name in wanted]
