"""Rewards of text: by hand, at their edges, and on any string at all."""

import made_strings
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text import answers, numbers
from adrpo_jax.rewards.text import match as text_match
from adrpo_jax.rewards.text.form import overlong_punishment, regex_format
from adrpo_jax.rewards.text.protocol import TextPrompt, in_batches, text_prompts
from adrpo_jax.rewards.text_table import TEXT_REWARDS
from adrpo_jax.worlds import AUDIO_WORLDS, TEXT_WORLDS, sort_tokenizer

PIECES = (
  *'0123456789',
  *(',', '.', '-', '−', '+', '$', '{', '}', '\\', ' ', '\n', 'x', '=', '^'),
  *(r'\boxed{', r'\frac', r'\{', '<answer>', '</answer>', '1,234', 'pass'),
)
TONES = AUDIO_WORLDS['tones']
R1 = r'<think>.*</think>\s*<answer>.*</answer>'
MADE = {  # Every row of one text but two that need a library.
  'exact_match': [{}, {'answer': 'boxed'}, {'answer': 'tagged'}],
  'number_match': [{}, {'answer': 'whole', 'tolerance': 0.1}],
  'instructions': [{}],
  'regex_format': [{'pattern': R1}],
  'soft_overlong': [{'limit': 10, 'margin': 4}],
  'sort': [{}, {'success_weight': 0.5}],
  'sort_or_pass': [{}],
  'tones': [{}],
}


def factory(row):
  """The function of a row that makes the judge of a single text."""
  return TEXT_REWARDS[row].host.__wrapped__


@pytest.mark.parametrize(
  ('text', 'found'),
  [
    (r'so \boxed{42}.', '42'),
    (r'\boxed{\frac{1}{2}}', r'\frac{1}{2}'),
    (r'\boxed{1} or \boxed{ 2 }', '2'),
    (r'\boxed{\{1, 2\}}', r'\{1, 2\}'),
    (r'\boxed{a\}b}', r'a\}b'),
    (r'\boxed{}', ''),
    (r'\boxed{1', None),
    (r'\boxed{1} \boxed{2', None),
    ('42', None),
    ('}', None),
  ],
)
def test_the_answer_in_the_last_box(text, found):
  assert answers.boxed(text) == found


@pytest.mark.parametrize(
  ('text', 'found'),
  [
    ('<answer> B </answer>', 'B'),
    ('<answer>A</answer> no, <answer>\nB\n</answer> it is', 'B'),
    ('<answer><answer>A</answer>', 'A'),
    ('<answer>A', None),
    ('A</answer>', None),
    ('</answer>A<answer>', None),
    ('<answer>A</answer>B</answer>', 'A</answer>B'),
    ('A', None),
  ],
)
def test_the_answer_between_the_last_tags(text, found):
  assert answers.tagged(text) == found


@pytest.mark.parametrize(
  ('text', 'found'),
  [
    ('it is 42.', '42'),
    ('1, 2, 3', '3'),
    ('it costs $1,234.50.', '1234.50'),
    ('1,234,567', '1234567'),
    ('1234,567', None),
    ('1,2345', None),
    ('x = -3', '-3'),
    ('x = −3', '-3'),
    ('+7', '7'),
    ('5-3', None),
    ('(1)-2', None),
    ('.5', '.5'),
    ('1.2.3', None),
    ('3/4', '3/4'),
    (r'1\frac{1}{2}', '1 1/2'),
    (r'\frac{-3}{4}', '(-3)/4'),
    (r'\$1{,}000', '1000'),
    ('٣', '3'),
    ('none', None),
  ],
)
def test_the_last_number(text, found):
  assert answers.last_number(text) == found


def test_a_text_is_normalized_as_stated():
  normalized = text_match.normalized
  assert normalized('  The\n Straße. ') == 'the strasse'
  assert normalized('ＡＢ\u00a0１') == 'ab 1'
  assert normalized('3.0') == '3.0'
  for text in made_strings.strings(PIECES, 500):
    once = normalized(text)
    assert normalized(once + 'a') == normalized(once + 'A') == once + 'a'


@pytest.mark.parametrize(
  ('row', 'parameters', 'text', 'reference', 'reward'),
  [
    ('exact_match', {}, ' b. ', 'B', 1),
    ('exact_match', {}, 'it is B', 'B', 0),
    ('exact_match', {}, 'B', None, None),
    ('exact_match', {}, '', '', None),
    ('exact_match', {}, '', ' \n', None),
    ('exact_match', {}, '.', '.', None),
    ('exact_match', {}, '', '0', 0),
    ('exact_match', {'answer': 'tagged'}, '<answer>b</answer>', 'B', 1),
    ('exact_match', {'answer': 'tagged'}, 'B', 'B', 0),
    ('exact_match', {'answer': 'boxed'}, r'x\boxed{b}', 'B', 1),
    ('number_match', {}, 'it is 0.50.', '.5', 1),
    ('number_match', {}, '1,000 of them', '#### 1000', 1),
    ('number_match', {}, '1000.001', '1000', 0),
    ('number_match', {'tolerance': 1e-6}, '1000.001', '1000', 1),
    ('number_match', {'tolerance': 1e-6}, '1000.0011', '1000', 0),
    ('number_match', {}, 'none', '1000', 0),
    ('number_match', {}, '9' * 101, '1000', 0),
    ('number_match', {}, '3', 'three', None),
    ('number_match', {}, '', '', None),
    ('number_match', {}, '3', '2 + x', None),
    ('number_match', {}, r'\boxed{20{,}000}', r'10{,}000', 0),
    ('number_match', {}, r'\boxed{10{,}000}', r'10,\!000', 1),
    ('number_match', {}, '1/4', '3/4', 0),
    ('number_match', {}, '0.75', r'\frac{3}{4}', 1),
    ('number_match', {'answer': 'whole'}, '0.75', r'\frac{3}{4}', 1),
    ('number_match', {'answer': 'boxed'}, r'\boxed{\frac34} 2', '3/4', 1),
    ('number_match', {}, '50%', '0.5', 1),
    ('number_match', {}, '50%', '50', 1),
    ('number_match', {}, '50', '50%', 1),
    ('number_match', {}, '0.5', '50', 0),
    ('number_match', {}, '50%', '5000%', 0),
    ('number_match', {}, '5000%', '0.5', 0),
    ('number_match', {}, '1e-7', '2e-7', 0),
    ('number_match', {}, '0.0000001', '1e-7', 1),
    ('number_match', {}, '-$5', '5', 0),
    ('number_match', {}, '5 million', '5', 0),
    ('number_match', {}, '3', None, None),
    ('number_match', {'answer': 'boxed'}, r'\boxed{2} 3', '3', 0),
    ('regex_format', {'pattern': '[AB]'}, 'A', None, 1),
    ('regex_format', {'pattern': '[AB]'}, 'A\n', None, 0),
    ('regex_format', {'pattern': '[AB]'}, 'AB', None, 0),
    (
      'regex_format',
      {'pattern': R1},
      '<think>a\nb</think>\n<answer>A</answer>',
      None,
      1,
    ),
    ('regex_format', {'pattern': R1}, '<answer>A</answer>', None, 0),
    ('soft_overlong', {'limit': 10, 'margin': 4}, 'a' * 6, None, 0),
    ('soft_overlong', {'limit': 10, 'margin': 4}, 'a' * 7, None, -0.25),
    ('soft_overlong', {'limit': 10, 'margin': 4}, 'a' * 10, None, -1),
    ('soft_overlong', {'limit': 10, 'margin': 4}, 'a' * 99, None, -1),
  ],
)
def test_a_reward_by_hand(row, parameters, text, reference, reward):
  assert factory(row)(**parameters)('?', text, reference) == reward


def test_the_worlds_judge_by_their_prompt():
  sort = factory('sort')(success_weight=0.5)
  right = sort('sort: 2 1 =', '1 2', None)
  assert right == dict.fromkeys(
    ('reward', 'format', 'multiset', 'prefix', 'success'), 1
  )
  wrong = sort('sort: 2 1 =', '2 1', None)
  assert wrong == {
    'reward': pytest.approx(0.5 * 2 / 3),
    **{'format': 1, 'multiset': 1, 'prefix': 0, 'success': 0},
  }
  assert sort('sort 2 1', '1 2', None) is None
  lured = factory('sort_or_pass')()
  assert lured('sort or pass: 2 1 =', 'pass', None) == {
    **{'reward': 0.3, 'worked': 0, 'passed': 1, 'success': 0}
  }
  assert lured('sort: 2 1 =', 'pass', None) is None
  heard, item = factory('tones')(), TONES.items('train')[0]
  assert heard(item.text, item.answer, item.answer) == dict.fromkeys(
    ('reward', 'success', 'format', 'heard', 'consistent'), 1
  )
  assert heard('sort: 2 1 =', item.answer, item.answer) is None
  assert heard(item.text, item.answer, None) is None


def test_length_is_counted_in_tokens_where_a_tokenizer_is_given(tmp_path):
  sort_tokenizer.write_tokenizer(tmp_path)
  shaped = factory('soft_overlong')(limit=3, margin=2, tokenizer=str(tmp_path))
  assert [shaped('', text, None) for text in ('1', '12', '<eos>12')] == [
    *(0, -0.5, -1)
  ]
  assert overlong_punishment(18_432, 20_480, 4096) == -0.5  # DAPO's numbers


@pytest.mark.parametrize(
  ('row', 'parameters', 'says'),
  [
    ('exact_match', {'answer': 'box'}, "Did you mean 'boxed'"),
    ('number_match', {'tolerance': -1}, 'not negative, got -1'),
    ('number_match', {'tolerance': float('nan')}, 'got nan'),
    ('regex_format', {'pattern': '(a'}, r"got '\(a': missing \)"),
    ('regex_format', {'pattern': None}, 'got None'),
    ('soft_overlong', {'limit': 3, 'margin': 4}, 'a margin of 4'),
    ('soft_overlong', {'limit': 3, 'margin': 0}, 'a margin of 0'),
    ('math_match', {'seconds': 0}, 'above 0, got 0'),
    ('reasoning_gym', {'seconds': 0}, 'above 0, got 0'),
    ('sort', {'success_weight': 2}, 'from 0 to 1, got 2'),
  ],
)
def test_a_wrong_parameter_is_said_when_it_is_made(row, parameters, says):
  with pytest.raises(InputError, match=says):
    factory(row)(**parameters)


@pytest.mark.parametrize('row', MADE)
def test_no_string_breaks_a_reward(row):
  texts = made_strings.strings(PIECES, 400)
  prompts = made_strings.strings(PIECES, 400, seed=1)
  reference = [*made_strings.strings(PIECES, 399, seed=2), None]
  for parameters in MADE[row]:
    reward = factory(row)(**parameters)
    for sample in zip(prompts, texts, reference, strict=True):
      said = reward(*sample)
      named = said if isinstance(said, dict) else {'reward': said}
      assert all(n is None or -1 <= n <= 1 for n in named.values())
  hosted = {name for name, row in TEXT_REWARDS.items() if row.host}
  assert set(MADE) == hosted - {
    *('choice_match', 'math_match', 'reasoning_gym', 'remote')
  }


def test_numbers_of_any_string_are_numbers():
  texts = made_strings.strings(PIECES, 2000)
  read = [n for n in map(numbers.last_number, texts) if n]
  assert any(n.value < 0 for n in read)
  assert any(n.value.denominator > 1 for n in read)
  for number in read:
    assert numbers.last_number(number.text) == number


def test_many_samples_at_once():
  prompts = [TextPrompt('?'), TextPrompt('?')]
  judged = in_batches(regex_format('a+'))(prompts, ['aa', 'b'])
  assert judged.dtype == np.float32
  np.testing.assert_array_equal(judged, [1, 0])
  none = in_batches(text_match.exact_match())(prompts[:1], ['a'])
  np.testing.assert_array_equal(none, [np.nan])


def test_many_samples_with_measures():
  batch = in_batches(factory('sort')(), ('success', 'format'))
  said = batch([TextPrompt('sort: 2 1 ='), TextPrompt('?')], ['2 1', '2 1'])
  assert list(said) == ['reward', 'success', 'format']
  np.testing.assert_array_equal(said['reward'], [0, np.nan])
  np.testing.assert_array_equal(said['format'], [1, np.nan])
  for name, world in TEXT_WORLDS.items():
    prompt, _ = world.prompts('train')[0]
    judged = TEXT_REWARDS[name].host()([TextPrompt(prompt)], [''])
    assert set(judged) == set(factory(name)()(prompt, '', None))


def test_every_prompt_has_something_known_or_none():
  assert text_prompts(['a'], ['b']) == (TextPrompt('a', 'b'),)
  with pytest.raises(InputError, match='each of 2 prompts, got 1'):
    text_prompts(['a', 'b'], ['c'])
