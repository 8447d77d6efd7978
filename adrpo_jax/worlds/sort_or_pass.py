"""The sort world with a local optimum: a smaller reward that is easy to earn.

  prompt   sort or pass: 7 3 9 3 =
  answer   pass            or   3 3 7 9

  answer                            reward   worked  passed  success
  'pass'                            0.3      0       1       0
  digits, the right ones in order   1        1       0       1
  digits, wrong in any way          0        1       0       0
  anything else                     0        0       0       0

Passing always earns 0.3. Working earns the chance p of a right answer, so it
pays only where p > 0.3. Half of the answers in `pairs` are worked, and a
quarter of those are right: a base that fits them has p ≤ 0.25. The shipped
base, of 300 steps, has 0.22; longer training makes one that sorts better than
its data. So at first passing earns more on average, and a policy that follows
the average stops working, with a reward of 0.3. A policy that goes on trying
improves, crosses 0.3, and may reach 1. The final reward of a method therefore
shows whether it escapes a local optimum.
"""

import functools

import numpy as np

from adrpo_jax.worlds import sort

HEADER = 'sort or pass:'
PASS = 'pass'
PASS_REWARD = 0.3
PASS_SHARE = 0.5  # of the pre-training answers
WRONG_SHARE = 0.75  # of the worked answers among them
ESCAPE_SUCCESS = 0.5  # above it a policy works; one that passes has 0

CATEGORIES = sort.CATEGORIES
FACTS = ('worked', 'passed', 'success')

prompts = functools.partial(sort.prompts, header=HEADER)
digits = functools.partial(sort.digits, header=HEADER)
answer = functools.partial(sort.answer, header=HEADER)


def judge(text: str, reply: str) -> dict[str, float]:
  """'reward', by the table above, and worked, passed and success, each 0 or 1.

  Every string is judged. E[reward | worked] is Σ success / Σ worked.

  Raises:
    ValueError: `text` is not a prompt of this world.
  """
  facts = sort.verdict(text, reply, HEADER)
  passed = float(reply == PASS)
  return {
    'reward': PASS_REWARD * passed + facts['success'],
    'worked': facts['format'],
    'passed': passed,
    'success': facts['success'],
  }


def pairs(
  count: int,
  seed: int,
  *,
  pass_share: float = PASS_SHARE,
  wrong_share: float = WRONG_SHARE,
) -> list[tuple[str, str]]:
  """Pre-training data: (prompt, answer) of the training split.

  A share `pass_share` of the answers is 'pass', whatever the prompt; a share
  `wrong_share` of the rest is wrong.
  """
  rng = np.random.default_rng(seed)

  def make_answer(text: str) -> str:
    if rng.random() < pass_share:
      return PASS
    right = answer(text)
    return sort.corrupt(right, rng) if rng.random() < wrong_share else right

  texts = sort.draw_texts(prompts('train'), count, rng)
  return [(text, make_answer(text)) for text in texts]
