"""What a reward of text is, and how many samples are judged at once.

A reward of text is a function (prompt, answer, known) -> a number, or None
where it has none. `known` is what is known of the prompt, its reference answer
for most, or None. It is total: no answer, however odd, makes it raise, and one
that cannot be read earns what a wrong one does. None is for what is not the
answer's fault: no reference, or a judge that did not come to an end. Such a
sample is left out of the step.
"""

from collections.abc import Callable, Sequence

import numpy as np

TextReward = Callable[[str, str, str | None], float | None]


def in_batches(
  reward: TextReward,
) -> Callable[[Sequence[str], Sequence[str], Sequence[str | None]], np.ndarray]:
  """(prompts, answers, known), B each -> [B] float32, NaN for no number."""

  def batch(
    prompts: Sequence[str],
    answers: Sequence[str],
    known: Sequence[str | None],
  ) -> np.ndarray:
    numbers = [
      reward(*sample) for sample in zip(prompts, answers, known, strict=True)
    ]
    return np.array([np.nan if n is None else n for n in numbers], np.float32)

  return batch
