"""Rewards of text by their names: sums, measures, and what a user adds."""

import made_answers
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text.protocol import text_prompts
from adrpo_jax.rewards.text_table import (
  TEXT_REWARDS,
  host_row,
  make_text_reward,
)
from adrpo_jax.types import PromptBatch

QUESTIONS = ('sort: 2 1 =', 'sort: 9 3 3 =')
KNOWN = ('1 2', None)
ANSWERS = [['1 2', '2 1', ''], ['3 3 9', '3 3', '3 9 3']]
ASKED = text_prompts(QUESTIONS, KNOWN)
PROMPTS = PromptBatch.of_step(np.arange(2))


@pytest.fixture(scope='module')
def samples():
  return made_answers.samples(ANSWERS)


def summed(weights, **options):
  return make_text_reward(weights, ASKED, made_answers.decode, **options)


def test_a_worlds_judge_gives_its_facts_as_measures(samples):
  scores = summed({'sort': 1.0})(PROMPTS, samples)
  success = [[1, 0, 0], [1, 0, 0]]
  np.testing.assert_array_equal(scores.rewards, success)
  assert list(scores.measures) == ['format', 'multiset', 'prefix', 'success']
  np.testing.assert_array_equal(scores.measures['success'], success)
  np.testing.assert_array_equal(
    scores.measures['multiset'], [[1, 1, 0], [1, 0, 1]]
  )
  np.testing.assert_array_equal(
    scores.measures['format'], [[1, 1, 0], [1, 1, 1]]
  )


def test_the_mean_of_a_match_is_a_share_and_that_of_a_length_is_none(samples):
  scores = summed({'exact_match': 1.0}, invalid_limit=0.5)(PROMPTS, samples)
  np.testing.assert_array_equal(scores.rewards, [[1, 0, 0], [0, 0, 0]])
  np.testing.assert_array_equal(scores.measures['success'], scores.rewards)
  own = {'soft_overlong': {'limit': 5, 'margin': 2}}
  scores = summed({'soft_overlong': 1.0}, parameters=own)(PROMPTS, samples)
  assert 'success' not in scores.measures


def test_a_sum_of_rows_with_parameters_and_one_held_out(samples):
  scores = summed(
    {'sort': 1.0, 'length': 0.5},
    parameters={
      'length': {'row': 'soft_overlong', 'limit': 5, 'margin': 2},
      'exact_match': {'batch_size': 2, 'workers': 1},
    },
    monitor_only=('exact_match',),
  )(PROMPTS, samples)
  # |y| of 5 is the limit: −1, and 0 up to 3.
  np.testing.assert_allclose(
    scores.rewards, [[1, 0, 0], [1 - 0.5, 0, -0.5]], rtol=1e-6
  )
  assert scores.valid.all()
  np.testing.assert_array_equal(
    scores.measures['exact_match/valid'], [[1, 1, 1], [0, 0, 0]]
  )
  np.testing.assert_array_equal(
    scores.measures['exact_match/reward'], [[1, 0, 0], [0, 0, 0]]
  )
  np.testing.assert_array_equal(
    scores.measures['success'], scores.measures['sort/success']
  )


def test_a_function_of_ones_own_is_a_row(samples, monkeypatch):
  def brevity(prompts, answers):
    assert {prompt.reference for prompt in prompts} == set(KNOWN)
    return {
      'reward': [-len(answer) for answer in answers],
      'empty': [answer == '' for answer in answers],
    }

  row = host_row('brevity', lambda: brevity, measures=('empty',))
  monkeypatch.setitem(TEXT_REWARDS, 'brevity', row)
  scores = summed({'brevity': 1.0})(PROMPTS, samples)
  np.testing.assert_array_equal(scores.rewards, [[-3, -3, 0], [-5, -3, -5]])
  np.testing.assert_array_equal(
    scores.measures['empty'], [[0, 0, 1], [0, 0, 0]]
  )


@pytest.mark.parametrize(
  ('weights', 'parameters', 'says'),
  [
    ({'srot': 1.0}, {}, r"'srot'. Did you mean 'sort'\? Known:\n  exact_match"),
    ({'sort': 1.0}, {'sort': {'sucess': 1}}, r"'sort'.*\['sucess'\]"),
    ({'sort': 1.0}, {'sort': {'batch_size': 0}}, 'batch_size ≥ 1'),
    ({'regex_format': 1.0}, {}, "'regex_format'.*'pattern'"),
    ({'reward_model': 1.0}, {}, "'reward_model'.*'path'"),
  ],
)
def test_what_is_wrong_is_said_when_it_is_made(weights, parameters, says):
  with pytest.raises(InputError, match=says):
    summed(weights, parameters=parameters)
