"""The sort world with a way out: a misleading reward that is easy to have.

  prompt   sort or pass: 7 3 9 3 =
  answer   pass            or   3 3 7 9

  answer                            reward   worked  passed  success
  'pass'                            0.3      0       1       0
  digits, the right ones in order   1        1       0       1
  digits, anything wrong with them  0        1       0       0
  whatever else                     0        0       0       0

Passing always earns 0.3. Working earns the chance p of being entirely right,
and so it pays to work only where p > 0.3. Of the answers in `pairs`, half are
worked, and a quarter of those are right: a base that has learned no more than
they say has p ≤ 0.25. The one we ship, of 300 steps, has 0.22; a longer
training makes one that sorts better than what it was shown. At first, then, a
group of samples says on average that passing is better, and a policy that
listens stops to work, with a reward of 0.3. One that goes on trying gets better
at it, crosses 0.3, and may reach 1. So the reward that a method ends with says
whether it escapes a local optimum.
"""

import functools

import numpy as np

from adrpo_jax.worlds import sort

HEADER = 'sort or pass:'
PASS = 'pass'
PASS_REWARD = 0.3
PASS_SHARE = 0.5  # of the pre-training answers
WRONG_SHARE = 0.75  # of those of them that are worked
ESCAPED = 0.5  # a success above says that a policy works; passing always has 0

CATEGORIES = sort.CATEGORIES
FACTS = ('worked', 'passed', 'success')

prompts = functools.partial(sort.prompts, header=HEADER)
digits = functools.partial(sort.digits, header=HEADER)
answer = functools.partial(sort.answer, header=HEADER)


def judge(text: str, given: str) -> dict[str, float]:
  """'reward', by the table above, and worked, passed and success, each 0 or 1.

  Every string is judged. E[reward | worked] is Σ success / Σ worked.

  Raises:
    ValueError: `text` is no prompt of this world.
  """
  facts = sort.verdict(text, given, HEADER)
  passed = float(given == PASS)
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

  A share `pass_share` of the answers passes, whatever the prompt; of the rest,
  a share `wrong_share` is wrong.
  """
  rng = np.random.default_rng(seed)

  def answered(text: str) -> str:
    if rng.random() < pass_share:
      return PASS
    right = answer(text)
    return sort.corrupt(right, rng) if rng.random() < wrong_share else right

  texts = sort.drawn(prompts('train'), count, rng)
  return [(text, answered(text)) for text in texts]
