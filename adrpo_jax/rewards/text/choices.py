"""Answers to questions with options: which option one is, by two rules.

The strict rule: the answer equals the right option after `normalized`.

The official rule is that of MMAU and MMAR. Words are the longest runs of
letters, digits and underscores, in lower case, as a set. For an answer with the
words W, the right option with R, and every option whose words O differ from R:

  W ≠ ∅,   R ⊆ W,   W ∩ (O ∖ R) = ∅

Neither the order nor the number of words counts. An option that has the words
of the right one is right too: 'C#' where 'C' is right, 'Piano, Guitar' where
'Guitar, Piano' is. A sentence around the right option is wrong where it has a
word of another option.
"""

from collections.abc import Callable, Sequence
import re

import numpy as np

from adrpo_jax.rewards.text.answers import extract, tagged
from adrpo_jax.rewards.text.match import has_answer, normalized
from adrpo_jax.rewards.text.protocol import TextPrompt

_WORD = re.compile(r'\w+')


def words(text: str) -> frozenset[str]:
  """Returns the words of a text as the official rule reads it."""
  return frozenset(_WORD.findall(text.lower()))


def official(answer: str, right: str, choices: Sequence[str]) -> bool:
  """Returns True for an answer that is right by the official rule.

  Args:
    answer: what the model says, without tags around it.
    right: the right option.
    choices: all options, the right one among them.
  """
  said, needed = words(answer), words(right)
  others = (words(choice) - needed for choice in choices)
  return bool(said) and needed <= said and not said & frozenset().union(*others)


def strict(answer: str | None, right: str) -> bool:
  """Returns True for an answer that equals the right option."""
  return answer is not None and normalized(answer) == normalized(right)


def listed(answer: str | None, choices: Sequence[str]) -> bool:
  """Returns True for an answer that equals an option, right or wrong."""
  return any(strict(answer, choice) for choice in choices)


def stated(text: str) -> str:
  """Returns the answer between the last tags of a text, else the whole text."""
  inside = tagged(text)
  return text.strip() if inside is None else inside


def has_choices(prompt: TextPrompt) -> bool:
  """Returns True for a prompt with options and a right answer."""
  return bool(prompt.choices) and has_answer(prompt.reference)


def choice_match(
  *, answer: str = 'tagged'
) -> Callable[[Sequence[TextPrompt], Sequence[str]], dict[str, np.ndarray]]:
  """1 where the answer equals the right option after `normalized`, else 0.

  Two numbers beside it: `listed` is 1 where the answer equals any option, and
  `official` where the rule of MMAU and MMAR accepts it, which compares sets of
  words. An answer that is not found is no option; the official rule then reads
  the whole text. It applies to prompts with options.

  Args:
    answer: how the answer is found in the text, a name in `answers.EXTRACTS`.
  """
  find = extract(answer)

  def judged(prompt: TextPrompt, text: str) -> tuple[float, float, float]:
    if not has_choices(prompt):
      return (np.nan,) * 3
    found, right = find(text), prompt.reference or ''
    read = text if found is None else found
    return (
      float(strict(found, right)),
      float(listed(found, prompt.choices)),
      float(official(read, right, prompt.choices)),
    )

  def batch(
    prompts: Sequence[TextPrompt], answers: Sequence[str]
  ) -> dict[str, np.ndarray]:
    numbers = [judged(*pair) for pair in zip(prompts, answers, strict=True)]
    columns = np.array(numbers, np.float32).reshape(-1, 3).T
    return dict(zip(('reward', 'listed', 'official'), columns, strict=True))

  return batch
