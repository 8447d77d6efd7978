"""The reward of constraints: shares by hand."""

import made_answers
import numpy as np

from adrpo_jax.rewards.text.protocol import text_prompts
from adrpo_jax.rewards.text_table import TEXT_REWARDS
from adrpo_jax.types import PromptBatch
from adrpo_jax.worlds.instructions.constraints import constraints, reference


def asking(*listed):
  return reference(constraints(listed))


def test_the_reward_is_the_share_that_is_met():
  records = text_prompts(
    ['a', 'b'],
    [
      asking(
        {'kind': 'words', 'at_most': 2}, {'kind': 'starts_with', 'text': '1'}
      ),
      asking({'kind': 'no_digit'}),
    ],
  )
  reward = TEXT_REWARDS['instructions'].make(records, 0.0, made_answers.decode)
  scores = reward(
    PromptBatch.of_step(np.arange(2)),
    made_answers.samples([['1 2', '3 2 1', '1 2 3'], ['pass', '', '1']]),
  )
  np.testing.assert_array_equal(scores.rewards, [[1, 0, 0.5], [1, 0, 0]])
  np.testing.assert_array_equal(
    scores.measures['success'], [[1, 0, 0], [1, 0, 0]]
  )


def test_a_prompt_without_constraints_is_not_judged():
  row = TEXT_REWARDS['instructions']
  records = text_prompts(['a', 'b'], ['42', asking({'kind': 'no_digit'})])
  assert [row.applies(record) for record in records] == [False, True]
