"""The reward of reasoning-gym: each task scores answers in its own way.

Its tasks read an answer as Python or by SymPy, which may compute for hours on
one of ten characters. So a judgment is made in a process of its own.
"""

from adrpo_jax.data.reasoning_prompts import SECONDS, library, read
from adrpo_jax.rewards.text.protocol import TextReward


def reasoning_gym(*, seconds: float = SECONDS) -> TextReward:
  """What reasoning-gym scores an answer to a prompt of its own; in [0, 1].

  The answer is what stands between the last <answer> and </answer>, found by
  the library's `extract_answer`; without such tags the library scores that
  there is none, for most tasks by 0. An answer that it cannot read earns 0.
  There is no number where the prompt is not one of `data.reasoning_prompts`,
  or made by another version of the library, and where a judgment takes too
  long or breaks the judge.

  Args:
    seconds: of computing that a judgment may take, with the making of the
      entry for the first of its answers; waiting does not count.

  Raises:
    InputError: reasoning-gym is not installed or does not work.
  """
  ask = library(seconds)

  def reward(prompt: str, text: str, known: str | None) -> float | None:
    entry = None if known is None else read(known)
    return None if entry is None else ask('score', *entry, prompt, text)

  return reward
