"""Constraints in prompt files, and the reward that checks them."""

import json

import pytest

from adrpo_jax.builders.parts import RewardTerms
from adrpo_jax.builders.tasks.references import with_references
from adrpo_jax.data import prompts
from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text_table import TEXT_REWARDS

LINE = '{"prompt": "Sort these.", "constraints": [%s]}\n'
WORDS = '{"kind": "words", "at_most": 2}'
TERMS = RewardTerms(TEXT_REWARDS, {'instructions': 1.0}, {}, {}, (), 0.1)


def test_constraints_of_a_file_are_read_as_references(write):
  path = write(
    'p.jsonl',
    LINE % f'{WORDS}, {{"kind": "json_object", "keys": ["a", "b"]}}'
    + '{"prompt": "b", "constraints": null}\n'
    + '{"prompt": "c", "answer": "2"}\n',
  )
  read = prompts.load(path)
  assert json.loads(read.answers[0]) == {
    'constraints': [
      {'kind': 'words', 'at_most': 2},
      {'kind': 'json_object', 'keys': ['a', 'b']},
    ]
  }
  assert read.answers[1:] == (None, '2')
  assert prompts.load(path, answer_feature=None).answers == (None,) * 3
  assert with_references(read, TERMS, path).texts == ('Sort these.',)


def test_an_answer_stands_before_constraints_unless_a_config_says(write):
  row = LINE.replace('"constraints"', '"answer": "2", "constraints"') % WORDS
  path = write('p.jsonl', row)
  assert prompts.load(path).answers == ('2',)
  with pytest.raises(InputError, match='answer_column=constraints'):
    with_references(prompts.load(path), TERMS, path)
  (answer,) = prompts.load(path, answer_feature='constraints').answers
  assert json.loads(answer)['constraints'] == [json.loads(WORDS)]


@pytest.mark.parametrize(
  ('constraint', 'says'),
  [
    ('{"kind": "wrods", "at_most": 2}', "'wrods'. Did you mean 'words'"),
    ('{"kind": "words", "at_most": 0}', 'from 1 to 1000, got "0"'),
    ('{"kind": "words", "exactly": 2.5}', 'whole number'),
    ('{"kind": "words"}', 'at_least, at_most'),
    (f'{WORDS}, {{"kind": "words", "at_least": 3}}', 'meet together'),
    ('"no_comma"', 'an object with a kind'),
  ],
)
def test_a_bad_constraint_is_refused_with_its_line(constraint, says, write):
  path = write('p.jsonl', LINE % WORDS + LINE % constraint)
  with pytest.raises(InputError, match=rf'p\.jsonl, line 2: .*{says}'):
    prompts.load(path)
