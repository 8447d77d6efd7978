"""Answers with options: the strict and the official rule, by hand."""

import made_answers
import numpy as np
import pytest

from adrpo_jax.rewards.text import choices
from adrpo_jax.rewards.text.form import PATTERNS, regex_format
from adrpo_jax.rewards.text.protocol import TextPrompt, text_prompts
from adrpo_jax.rewards.text_table import (
  TEXT_REWARDS,
  applying,
  make_text_reward,
)
from adrpo_jax.types import PromptBatch

BAND = ('Guitar, Piano', 'Guitar, Drums', 'Piano', 'A violin')


@pytest.mark.parametrize(
  ('answer', 'right', 'options', 'official', 'strict'),
  [
    ('Guitar, Piano', 'Guitar, Piano', BAND, True, True),
    (' guitar,  piano. ', 'Guitar, Piano', BAND, True, True),
    ('Piano and guitar', 'Guitar, Piano', BAND, True, False),  # a set
    ('guitar guitar piano', 'Guitar, Piano', BAND, True, False),
    ('Guitar', 'Guitar, Piano', BAND, False, False),  # R ⊆ W fails
    ('Guitar, Piano, Drums', 'Guitar, Piano', BAND, False, False),
    ('', 'Guitar, Piano', BAND, False, False),
    ('?!', 'Guitar, Piano', BAND, False, False),  # no word
    # Letters and sentences around the right option.
    ('(b) Guitar, Piano', 'Guitar, Piano', BAND, True, False),
    ('(a) Guitar, Piano', 'Guitar, Piano', BAND, False, False),  # "A violin"
    ('The answer is cat.', 'cat', ('cat', 'the dog'), False, False),
    ('The answer is cat.', 'cat', ('cat', 'a dog'), True, False),
    # Words of the right option are free in another, and the right option may
    # be a part of a wrong one.
    ('two dogs', 'two dogs', ('two dogs', 'two cats', 'dogs'), True, True),
    ('Piano', 'Piano', BAND, True, True),
    ('Guitar, Piano', 'Piano', BAND, False, False),
    # An underscore and a digit are parts of words, a hyphen is none.
    ('C_4', 'C 4', ('C 4', 'D 5'), False, False),
    ('half-step', 'Half step', ('Half step', 'whole step'), True, False),
    ('ÉCOLE', 'école', ('école', 'gare'), True, True),
  ],
)
def test_both_rules_by_hand(answer, right, options, official, strict):
  assert choices.official(answer, right, options) is official
  assert choices.strict(answer, right) is strict


@pytest.mark.parametrize(
  ('wrong', 'right', 'options'),
  [
    ('Piano, Guitar', 'Guitar, Piano', ('Guitar, Piano', 'Piano, Guitar')),
    ('C#', 'C', ('C', 'C#', 'D')),
    ('C', 'C#', ('C', 'C#', 'D')),
    ('-5 dB', '5 dB', ('5 dB', '-5 dB', '10 dB')),
    ('4 then 3', '3 then 4', ('3 then 4', '4 then 3')),
    ('1, 2, 2', '1, 2, 1', ('1, 2, 1', '1, 2, 2', '3')),
    ('Yes!', 'Yes', ('Yes', 'Yes!', 'No')),
  ],
)
def test_a_wrong_option_with_the_words_of_the_right_one_passes(
  wrong, right, options
):
  assert choices.official(wrong, right, options)
  assert not choices.strict(wrong, right)
  assert choices.listed(wrong, options)


def test_an_option_without_a_word_accepts_every_free_word():
  """R = ∅ is in every W: the official rule, as it is."""
  assert choices.official('anything', '?', ('?', 'no'))
  assert not choices.official('no', '?', ('?', 'no'))


def test_what_the_reward_says_of_each_answer():
  prompt = TextPrompt('?', 'Guitar, Piano', BAND)
  judge = choices.choice_match()
  texts = [
    '<think>two</think><answer> guitar, piano </answer>',
    '<answer>Piano, Guitar</answer>',  # official alone
    '<answer>piano</answer>',  # listed alone
    '<answer>a flute</answer>',
    'Guitar, Piano',  # not in tags: the official rule reads the whole
    '<answer>Guitar, Piano</answer> or <answer>Piano</answer>',
    '<answer></answer>',
    '',
  ]
  said = judge([prompt] * len(texts), texts)
  assert list(said) == ['reward', 'listed', 'official']
  assert said['reward'].dtype == np.float32
  np.testing.assert_array_equal(said['reward'], [1, 0, 0, 0, 0, 0, 0, 0])
  np.testing.assert_array_equal(said['listed'], [1, 0, 1, 0, 0, 1, 0, 0])
  np.testing.assert_array_equal(said['official'], [1, 1, 0, 0, 1, 0, 0, 0])
  whole = choices.choice_match(answer='whole')([prompt], ['guitar, piano'])
  assert whole['reward'] == 1
  for open_question in (TextPrompt('?', 'a'), TextPrompt('?', None, ('a',))):
    assert np.isnan(judge([open_question], ['a'])['reward']).all()
  assert judge([], [])['reward'].shape == (0,)


def test_it_applies_where_there_are_options():
  prompts = text_prompts(
    ['?'] * 4, ['9', '9', None, ''], [('9', '8'), (), ('9',), ('9',)]
  )
  assert applying(['choice_match'], prompts, {})['choice_match'].tolist() == [
    True,
    *[False] * 3,
  ]


def test_weights_of_two_to_one_with_the_format():
  """Two thirds for the right option, one for the form, both measured."""
  prompts = text_prompts(['?'], ['9'], [('9', '8')])
  reward = make_text_reward(
    {'choice_match': 2.0, 'regex_format': 1.0},
    prompts,
    lambda ids: f'<answer>{made_answers.decode(ids)}</answer>',
    parameters={'regex_format': {'pattern': 'answer'}},
  )
  scores = reward(
    PromptBatch.of_step(np.arange(1)), made_answers.samples([['9', '8', '']])
  )
  np.testing.assert_array_equal(scores.rewards, [[3, 1, 0]])
  np.testing.assert_array_equal(scores.measures['success'], [[1, 0, 0]])
  np.testing.assert_array_equal(scores.measures['listed'], [[1, 1, 0]])
  np.testing.assert_array_equal(
    scores.measures['regex_format/reward'], [[1, 1, 0]]
  )


@pytest.mark.parametrize(
  ('text', 'matches'),
  [
    ('<think>a\nb</think>\n <answer>c</answer>', 1),
    ('<think>a</think><answer>c</answer>', 1),
    ('<think></think><answer>c</answer>', 0),
    ('<think>a</think><answer></answer>', 0),
    ('<answer>c</answer>', 0),
    ('so <think>a</think><answer>c</answer>', 0),
    # What '.+' in place of '[^<]+' would let pass.
    ('<think>a</think><answer>b</answer><answer>c</answer>', 0),
    ('<think>a</think><think>b</think><answer>c</answer>', 0),
    ('<think><answer>b</answer></think><answer>c</answer>', 0),
    ('<think>a</think><answer><answer>c</answer></answer>', 0),
    ('<think>a<b</think><answer>c</answer>', 0),
  ],
)
def test_tags_cannot_be_nested(text, matches):
  judge = regex_format('think_answer')
  assert judge('', text, None) == matches
  assert regex_format(PATTERNS['think_answer'])('', text, None) == matches
  assert 'choice_match' in TEXT_REWARDS
