r"""A reward of mathematical equality with the reference, by math-verify.

SymPy may compute for hours, or fill the memory, on an answer of ten characters
(9^{9^{9^9}}). So a child process judges.
"""

import pathlib

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text.match import has_answer
from adrpo_jax.rewards.text.math_spelling import (
  final_answer,
  is_rounded,
  number_of,
  plainly_spelled,
)
from adrpo_jax.rewards.text.numbers import Number, equal
from adrpo_jax.rewards.text.protocol import TextReward
from adrpo_jax.system.child_process import make_child_function

CHILD = pathlib.Path(__file__).with_name('math_answers_child.py')


def math_match(*, seconds: float = 5.0) -> TextReward:
  r"""1 where math-verify finds the answer equal to the reference, else 0.

  Formulas, numbers, sets, intervals and tuples, in LaTeX between dollars or in
  plain text: '0.5' is '\frac{1}{2}'. Where there are boxes, \boxed{}, the last
  one is the answer. The reference may be a bare formula. An answer without any
  formula earns 0. The reward is None where there is no reference or no formula
  in it, and where a judgment takes too long or breaks the judge.

  Numbers are compared exactly, in any spelling of `numbers`; only where the
  right one has no end as a decimal, one of six digits or more may be rounded.

  `math-verify <https://github.com/huggingface/Math-Verify>`_, Hugging Face.

  Args:
    seconds: the limit on the computing time of a judgment, without waiting.

  Raises:
    InputError: math-verify is not installed or does not work.
  """
  ask = make_child_function(CHILD, seconds, _not_usable)

  def reward(prompt: str, text: str, reference: str | None) -> float | None:
    del prompt
    if reference is None or not has_answer(reference):
      return None
    right = final_answer(reference.rpartition('####')[2])
    stated = final_answer(text)
    if right is None or stated is None:
      return None if right is None else 0.0
    number, right_number = number_of(stated), number_of(right)
    if number and right_number:
      return float(_equal(number, right_number))
    box = r'\boxed{%s}' if stated != text else '%s'
    return ask(plainly_spelled(right), box % plainly_spelled(stated))

  return reward


def _equal(stated: Number, right: Number) -> bool:
  rounded = is_rounded(stated, right) or is_rounded(right, stated)
  return equal(stated, right) or rounded


def _not_usable(reason: str) -> InputError:
  return InputError(
    "Expected math-verify, which the reward 'math_match' needs; here it does "
    f"not work: {reason}. Install the extra: pip install 'adrpo-jax[math]'."
  )
