"""Rewards of text that lack what they need, said before a run begins."""

import logging

import pytest

from adrpo_jax.builders.parts import RewardTerms, judged_prompts
from adrpo_jax.builders.tasks.references import with_references
from adrpo_jax.data import prompts
from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text_table import TEXT_REWARDS

ROWS = '{"question": "a", "answer": "2"}', '{"question": "b"}'


def terms(weights, monitor_only=()):
  return RewardTerms(TEXT_REWARDS, weights, {}, {}, monitor_only, 0.1)


@pytest.fixture
def read(tmp_path):
  def read(*rows):
    (tmp_path / 'p.jsonl').write_text('\n'.join(rows))
    return prompts.load(str(tmp_path / 'p.jsonl'))

  return read


@pytest.mark.parametrize(
  ('rows', 'reward', 'says'),
  [
    (
      ['{"problem": "1 + 1?", "final_answer": "2"}'] * 3,
      'math_match',
      r"p.jsonl: .*'math_match' .*got none, in 3 prompts with the keys "
      r"\['problem', 'final_answer'\].*--config\.prompts\.answer_column=KEY",
    ),
    (
      ['{"question": "a", "answer": ""}'],
      'exact_match',
      r"'exact_match' .*got none, in 1 .*\['question', 'answer'\]",
    ),
    (
      ['{"question": "a", "answer": "three"}'],
      'number_match',
      r"got none that it can read, such as 'three', in 1",
    ),
    (['{"question": "a", "answer": "2"}'], 'reasoning_gym', 'can read'),
    (['{"question": "a", "answer": "2"}'], 'choice_match', 'choices_column'),
    (['{"question": "a", "rules": []}'], 'instructions', '"constraints": '),
  ],
)
def test_rows_without_what_a_reward_needs_are_refused(rows, reward, says, read):
  with pytest.raises(InputError, match=says):
    with_references(read(*rows), terms({reward: 1.0}), 'p.jsonl')
  both = terms({'regex_format': 1.0, reward: 1.0})
  with pytest.raises(InputError, match=says):
    with_references(read(*rows), both, 'p.jsonl')


def test_rows_that_no_reward_can_judge_are_left_out_and_counted(read, caplog):
  with caplog.at_level(logging.WARNING):
    left = with_references(read(*ROWS), terms({'exact_match': 1.0}), 'p.jsonl')
  assert (left.texts, left.answers) == (('a',), ('2',))
  assert "'exact_match' applies to 1 of 2 prompts of p.jsonl" in caplog.text
  assert '1 of 2 prompts of p.jsonl have no answer' in caplog.text


def test_rows_that_another_reward_can_judge_stay(read, caplog):
  both = terms({'exact_match': 1.0, 'regex_format': 1.0})
  with caplog.at_level(logging.WARNING):
    assert with_references(read(*ROWS), both, 'p.jsonl').texts == ('a', 'b')
  assert 'applies to 1 of 2' in caplog.text
  assert 'left out' not in caplog.text


def test_what_is_measured_only_is_warned_of(read, caplog):
  watched = terms({'regex_format': 1.0}, ('exact_match',))
  with caplog.at_level(logging.WARNING):
    assert len(with_references(read(ROWS[1]), watched, 'p.jsonl')) == 1
  assert "'exact_match' applies to 0 of 1" in caplog.text


def test_whole_files_are_not_warned_of(read, caplog):
  with caplog.at_level(logging.WARNING):
    with_references(read(ROWS[0]), terms({'exact_match': 1.0}), 'p.jsonl')
  assert not caplog.records


def test_options_go_to_the_judge_with_their_prompts():
  listed = prompts.PromptSet(
    ('a', 'b'), ('', ''), ('2', '3'), choices=(('2', '4'), ())
  )
  told = judged_prompts(listed)
  assert [prompt.choices for prompt in told] == [('2', '4'), ()]
  left = with_references(listed, terms({'choice_match': 1.0}), 'p.jsonl')
  assert left.texts == ('a',)
