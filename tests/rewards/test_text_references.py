"""Prompts of which only some have a reference answer."""

import made_answers
import numpy as np
import pytest

from adrpo_jax.rewards.overlap import split
from adrpo_jax.rewards.protocol import RewardError
from adrpo_jax.rewards.text.protocol import text_prompts
from adrpo_jax.rewards.text_table import (
  TEXT_REWARDS,
  applying,
  make_text_reward,
  text_row,
)
from adrpo_jax.rewards.weighted_sum import measure_masks
from adrpo_jax.types import PromptBatch

REFERENCES = ['1', None, '2', '']
PROMPTS = PromptBatch.of_step(np.arange(4))
# EXACT is what exact_match says where it applies, FORM that an answer is 2.
TEXTS = [['1', '2'], ['2', ''], ['2', '2'], ['2', '']]
EXACT = [[1, 0], [0, 0], [1, 1], [0, 0]]
FORM = [[0, 1], [1, 0], [1, 1], [1, 0]]
TWO = {'regex_format': {'pattern': '2'}}


def told(references):
  return text_prompts(['?'] * len(references), references)


@pytest.fixture(scope='module')
def samples():
  return made_answers.samples(TEXTS, 4)


def summed(weights, **options):
  return make_text_reward(
    weights,
    told(REFERENCES),
    made_answers.decode,
    invalid_limit=0.0,
    parameters=TWO,
    **options,
  )


def test_a_term_adds_nothing_where_it_does_not_apply(samples):
  reward = summed({'exact_match': 2.0, 'regex_format': 1.0})
  scores = reward(PROMPTS, samples)
  assert scores.valid.all()
  np.testing.assert_array_equal(
    scores.rewards, 2 * np.array(EXACT) + np.array(FORM)
  )
  np.testing.assert_array_equal(
    scores.measures['exact_match/valid'], [[1, 1], [0, 0], [1, 1], [0, 0]]
  )
  assert scores.measures['regex_format/valid'].all()


def test_measures_are_those_of_the_prompts_that_it_applies_to(samples):
  scores = summed({'exact_match': 1.0, 'regex_format': 1.0})(PROMPTS, samples)
  masks = measure_masks(scores)
  means = {
    name: float(np.asarray(values)[np.asarray(masks[name])].mean())
    for name, values in scores.measures.items()
  }
  assert means['success'] == means['exact_match/success'] == 0.75
  assert means['exact_match/reward'] == 0.75
  assert means['exact_match/valid'] == means['applies'] == 0.5
  assert means['regex_format/reward'] == 0.625


def test_a_normalizer_sees_the_prompts_that_its_term_applies_to(samples):
  reward = summed(
    {'exact_match': 1.0, 'regex_format': 1.0},
    normalize={'exact_match': 'standard'},
  )
  scores = reward(PROMPTS, samples)
  exact = np.array([1, 0, 1, 1])
  scaled = (exact - exact.mean()) / exact.std()
  added = np.asarray(scores.rewards) - FORM
  np.testing.assert_allclose(added[[0, 2]].ravel(), scaled, atol=1e-3)
  np.testing.assert_array_equal(added[[1, 3]], 0)


def test_what_is_measured_only_costs_nothing(samples):
  scores = summed({'regex_format': 1.0}, monitor_only=('exact_match',))(
    PROMPTS, samples
  )
  assert scores.valid.all()
  np.testing.assert_array_equal(scores.rewards, FORM)
  np.testing.assert_array_equal(
    scores.measures['exact_match/valid'], [[1, 1], [0, 0], [1, 1], [0, 0]]
  )


def test_the_limit_on_invalid_samples_is_of_those_that_are_judged(samples):
  """Of 4 samples with a reference one has no number: 1 of 4, not of 8."""

  def judge(prompt, answer, reference):
    del prompt
    return None if answer == '1' else float(answer == reference)

  table = {'picky': text_row('picky', lambda: judge, applies=bool)}
  for limit, message in ((0.25, ''), (0.2, r'25\.0%')):
    reward = make_text_reward(
      {'picky': 1.0},
      text_prompts(['?'] * 4, REFERENCES),
      made_answers.decode,
      invalid_limit=limit,
      rows=table,
    )
    if message:
      with pytest.raises(RewardError, match=message):
        reward(PROMPTS, samples)
    else:
      assert not reward(PROMPTS, samples).valid[0, 0]


def test_a_prompt_without_any_term_is_invalid(samples):
  scores = summed({'exact_match': 1.0})(PROMPTS, samples)
  np.testing.assert_array_equal(
    scores.valid, [[True, True], [False, False]] * 2
  )
  np.testing.assert_array_equal(scores.rewards, EXACT)


def test_parts_and_other_orders_of_prompts_agree():
  order = np.array([3, 0, 2, 1])
  samples = made_answers.samples([TEXTS[i] for i in order], 4)
  reward = summed({'exact_match': 2.0, 'regex_format': 1.0})
  prompts = PromptBatch.of_step(order)
  parts = zip(split(prompts, 2), split(samples, 2), strict=True)
  scores = reward.finish([reward.begin(*part) for part in parts])
  expected = (2 * np.array(EXACT) + np.array(FORM))[order]
  np.testing.assert_array_equal(scores.rewards, expected)
  np.testing.assert_array_equal(reward(prompts, samples).rewards, expected)


@pytest.mark.parametrize(
  ('term', 'applies'),
  [
    ('exact_match', [True, True, True, False, False, False]),
    ('math_match', [True, True, True, False, False, False]),
    ('number_match', [True, False, False, False, False, False]),
    ('reasoning_gym', [False, False, False, False, False, True]),
    ('as_number', [True, False, False, False, False, False]),
  ],
)
def test_what_a_row_needs_of_a_reference(term, applies):
  entry = '{"reasoning_gym": {"task": "a", "seed": 1, "size": 2, "place": 3}}'
  prompts = told(['#### 42', 'three', '2x', None, ' ', entry])
  masks = applying([term], prompts, {'as_number': {'row': 'number_match'}})
  assert masks[term].tolist() == applies
  assert applying([term], prompts[:1] * 2, {}) == {} or not applies[0]
  assert applying(['sort', 'mine'], prompts, {}) == {}
  assert TEXT_REWARDS['regex_format'].applies is None
