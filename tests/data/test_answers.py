"""Right answers in prompt files: their spelling, their column, or none."""

import json
import logging

from ml_collections import ConfigDict
import numpy as np
import pytest

from adrpo_jax.builders.tasks.base import prompt_reader
from adrpo_jax.data import prompts, tfds_prompts
from adrpo_jax.errors import InputError


@pytest.mark.parametrize(
  ('value', 'answer'),
  [
    ('"2"', '2'),
    ('" two words "', ' two words '),
    ('2', '2'),
    ('-2.50', '-2.50'),
    ('0.00001', '0.00001'),
    ('1e-7', '1e-7'),
    ('12345678901234567890.10', '12345678901234567890.10'),
    ('7' * 5000, '7' * 5000),
    ('true', 'true'),
    ('["2"]', '2'),
    ('[0.00001]', '0.00001'),
    ('""', None),
    (r'" \n\t"', None),
    ('null', None),
    ('NaN', None),
    ('[]', None),
    ('[null]', None),
    ('[""]', None),
  ],
)
def test_an_answer_is_as_the_file_spells_it(value, answer, write):
  path = write('p.jsonl', f'{{"question": "1 + 1?", "answer": {value}}}\n')
  assert prompts.load(path).answers == (answer,)


@pytest.mark.parametrize(
  ('value', 'says'),
  [
    ('["2", "two"]', r'a list of 2, \["2", "two"\]'),
    ('{"value": "2", "id": 0}', 'an object, {"value": "2"'),
    ('[{"value": 2}]', 'an object, {"value": "2"}'),
  ],
)
def test_an_answer_that_is_many_is_refused_with_its_line(value, says, write):
  row = '{"question": "1 + 1?", "answer": "2"}'
  path = write('p.jsonl', f'{row}\n{row.replace(json.dumps("2"), value)}\n')
  with pytest.raises(InputError, match=rf"line 2: .*{says}.* as 'answer'"):
    prompts.load(path)
  assert prompts.load(path, answer_feature=None).answers == (None, None)


@pytest.mark.parametrize('name', ['p.csv', 'p.tsv'])
def test_an_empty_cell_is_no_answer(name, write):
  mark = '\t' if name == 'p.tsv' else ','
  rows = ['question,answer', 'a,', 'b, ', 'c,0.00001', 'd,1e-05']
  path = write(name, '\n'.join(rows).replace(',', mark))
  assert prompts.load(path).answers == (None, None, '0.00001', '1e-05')


def test_the_keys_of_all_rows_are_known(write):
  path = write('p.jsonl', '{"problem": "a"}\n{"final": "2", "problem": "b"}\n')
  loaded = prompts.load(path)
  assert loaded.columns == ('problem', 'final')
  assert loaded.take([1, 1]).columns == ('problem', 'final')
  assert prompts.load(write('p.csv', 'Text,x\na,b\n')).columns == ('Text', 'x')
  assert prompts.load(write('p.txt', 'a\n')).columns == ()


def reader(**settings):
  return prompt_reader(ConfigDict({'prompts': {'text_column': '', **settings}}))


def test_a_config_names_the_columns(write):
  row = '{"problem": "a", "hint": "b", "final": "2", "answer": ["2", "3"]}'
  path = write('p.jsonl', row)
  read = reader(text_column='hint', answer_column='Final')(path)
  assert (read.texts, read.answers) == (('b',), ('2',))
  read = reader()(path)  # A config of images, which has no answers.
  assert (read.texts, read.answers) == (('a',), (None,))


@pytest.mark.parametrize(
  ('name', 'content', 'settings', 'says'),
  [
    (
      'p.jsonl',
      '{"title": "a", "answer": "2"}',
      {},
      r"line 1: .*keys \['answer', 'title'\]. .*prompts\.text_column=KEY",
    ),
    ('p.csv', 'title\na\n', {}, r"\['title'\]. .*prompts\.text_column=COLUMN"),
    (
      'p.jsonl',
      '{"text": "a", "final": "2"}\n{"text": "b", "answer": "3"}',
      {'answer_column': 'finale'},
      r"'finale', .*answer_column names, got \['text', 'final', 'answer'\]",
    ),
    ('p.txt', 'a', {'answer_column': 'x'}, 'got no columns'),
  ],
)
def test_a_column_that_is_not_there_is_told(
  name, content, settings, says, write
):
  with pytest.raises(InputError, match=says):
    reader(**{'answer_column': '', **settings})(write(name, content))


def test_answers_may_come_without_a_column():
  """Those of reasoning-gym, beside a file whose column the config names."""
  prompts._check_named('p.jsonl', 'Final', ['final'], 'answer')
  prompts._check_named('p.jsonl', '', [], 'answer')
  prompts._check_named('p.jsonl', None, [], 'answer')


@pytest.mark.parametrize(
  ('fields', 'shown'),
  [
    (r'"question": "a", "answer": "$\frac{1}{2}$"', r'\\f'),
    (r'"question": "Put it in \boxed{}.", "answer": "2"', r'\\b'),
    (r'"question": "a", "answer": "2 \times 3"', r'\\t'),
    (r'"question": "a \theta", "answer": "2"', r'\\t'),
    (r'"question": "a", "answer": "\text{yes}"', r'\\t'),
    (r'"question": "a", "answer": "x \neq 3"', r'\\n'),
    (r'"question": "a", "answer": "\rho"', r'\\r'),
  ],
)
def test_eaten_backslashes_are_warned_of_once(fields, shown, write, caplog):
  path = write('p.jsonl', f'{{"question": "b"}}\n{{{fields}}}\n{{{fields}}}\n')
  with caplog.at_level(logging.WARNING):
    prompts.load(path)
  (record,) = caplog.records
  said = record.getMessage()
  assert said.startswith(f'2 rows of {path} hold')
  assert 'the first on line 2: ' in said
  assert f'"{shown}".' in said


@pytest.mark.parametrize(
  'fields',
  [
    r'"question": "a", "answer": "$\\frac{1}{2} \\times \\boxed{2}$"',
    r'"question": "Choose:\n\ta\n\ttext\n\ttop\neg\nnew", "answer": "2"',
    r'"question": "a\r\nright\r\nrhombus", "answer": "2"',
    r'"question": "\fA page."',
  ],
)
def test_lines_and_tabs_of_a_text_are_not_warned_of(fields, write, caplog):
  with caplog.at_level(logging.WARNING):
    prompts.load(write('p.jsonl', f'{{{fields}}}\n'))
  assert not caplog.records


def test_an_answer_of_a_data_set_is_one_text():
  of = tfds_prompts._answer
  assert of(b'2', '') == '2'
  assert of(np.int64(2), '') == '2'
  assert of(np.array([b'2'], object), '') == '2'
  assert of(np.array([], object), '') is None
  assert of(None, '') is None
  with pytest.raises(InputError, match='x, example 3: got a list of 2'):
    of(np.array([b'2', b'3'], object), 'x, example 3')
