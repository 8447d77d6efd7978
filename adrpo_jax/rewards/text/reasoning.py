"""The reward of reasoning-gym: each task scores answers in its own way.

Its tasks read an answer as Python or by SymPy, which may compute for hours on
an answer of ten characters. So a child process judges.
"""

from adrpo_jax.data.reasoning_prompts import SECONDS, entry_of, library
from adrpo_jax.rewards.text.protocol import TextReward


def has_entry(reference: str | None) -> bool:
  """True for the reference of a prompt of the library."""
  return entry_of(reference or '') is not None


def reasoning_gym(*, seconds: float = SECONDS) -> TextReward:
  """The score of reasoning-gym for an answer to one of its prompts; in [0, 1].

  The library's `extract_answer` takes the text between the last <answer> and
  </answer>; without such tags the library scores a missing answer, which most
  tasks score 0. An answer that it cannot read earns 0. The reward is None where
  the prompt is not one of `data.reasoning_prompts` or was made by another
  version of the library, and where a judgment takes too long or breaks the
  judge.

  Args:
    seconds: the limit on the computing time of a judgment, without waiting. The
      first answer to a prompt includes the time to make the entry.

  Raises:
    InputError: reasoning-gym is not installed or does not work.
  """
  ask = library(seconds)

  def reward(prompt: str, text: str, reference: str | None) -> float | None:
    entry = None if reference is None else entry_of(reference)
    return None if entry is None else ask('score', *entry, prompt, text)

  return reward
