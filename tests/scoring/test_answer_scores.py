"""Files of answers to a benchmark: scores by hand, and what is refused."""

import json

import made_benchmark
import pytest
import small_run

from adrpo_jax.errors import InputError
from adrpo_jax.scoring import answer_scores
from adrpo_jax.scoring.benchmarks import BENCHMARKS, read_answers, unanswered

SAID = {
  'q1': 'The answer is <answer>cat</answer>',
  'q2': 'Piano, Guitar',  # a wrong option with the words of the right one
  'q3': '<answer>no</answer>',
  'q4': 'It is five.',
}


def read(path, answers=SAID, key='model_output', **options):
  options = {'count': 4} | options
  made_benchmark.write(path, answers, key)
  return read_answers(str(path), options.pop('name', 'mmau'), **options)


def means(row):
  return {measure: mean for measure, (mean, _) in row.means.items()}


def test_scores_by_hand(tmp_path):
  table = answer_scores.rows(read(tmp_path / 'a.json'))
  assert [(row.name, row.questions) for row in table] == [
    ('all', 4),
    ('task: music', 1),
    ('task: sound', 2),
    ('task: speech', 1),
    ('difficulty: easy', 2),
    ('difficulty: hard', 2),
    ('options: 2', 1),
    ('options: 4', 3),
  ]
  everything, music, sound, speech = map(means, table[:4])
  assert everything == {
    'official': 3 / 4,
    'strict': 1 / 4,
    'an option': 3 / 4,
    'first option': 2 / 4,
    # One option of four is right twice, two of four once, one of two once.
    'random': (0.25 + 0.5 + 0.5 + 0.25) / 4,
  }
  assert (music['official'], music['strict'], music['random']) == (1, 0, 0.5)
  assert (sound['official'], sound['strict']) == (1, 0.5)
  assert (speech['official'], speech['first option']) == (0, 1)


@pytest.mark.parametrize(
  ('name', 'key', 'ending'),
  [
    ('mmau', 'model_output', 'json'),
    ('mmau', 'model_prediction', 'json'),
    ('mmau', 'model_prediction', 'jsonl'),
    ('mmar', 'answer_prediction', 'jsonl'),
    ('mmar', 'answer_prediction', 'json'),
  ],
)
def test_both_benchmarks_and_all_their_keys(name, key, ending, tmp_path):
  items = read(tmp_path / f'a.{ending}', key=key, name=name)
  assert [item.answer for item in items] == list(SAID.values())
  assert items[0].choices == made_benchmark.CHOICES['q1']
  assert list(items[0].groups) == list(BENCHMARKS[name].groups)
  assert BENCHMARKS[name].questions == 1000


def test_a_question_without_an_answer_is_named_and_wrong(tmp_path):
  answers = {name: SAID[name] for name in ('q1', 'q3')} | {'q2': None}
  items = read(tmp_path / 'a.json', answers)
  assert unanswered(items) == (
    '2 of 4 questions have no answer, and count as wrong: q2, q4.'
  )
  assert means(answer_scores.rows(items)[0])['official'] == 1 / 4
  assert unanswered(read(tmp_path / 'b.json')) == ''


def test_a_file_of_another_size_is_refused(tmp_path):
  path = tmp_path / 'a.json'
  with pytest.raises(InputError, match=r'the 1000 questions .* --items=4'):
    read(path, count=0)
  with pytest.raises(InputError, match='the 3 questions'):
    read(path, count=3)
  with pytest.raises(InputError, match="Did you mean 'mmau'"):
    read(path, name='mmao')
  with pytest.raises(InputError, match='as answer_prediction, got none in 4'):
    read(path, name='mmar')


@pytest.mark.parametrize(
  ('change', 'says'),
  [
    ({'id': None}, 'line 2: .*without text'),
    ({'id': 'q1'}, "line 2: .*'q1' of line 1 again"),
    ({'choices': ['cat']}, 'line 2: .*two or more'),
    ({'choices': 'cat'}, 'line 2: .*two or more'),
    ({'choices': ['Guitar', None]}, 'line 2: .*without text'),
    ({'answer': 'Harp'}, "line 2: .*'Harp', which is none of"),
    ({'model_output': {'text': 'x'}}, 'line 2: .*an object'),
  ],
)
def test_a_damaged_question_is_named_by_its_line(change, says, tmp_path):
  rows = made_benchmark.questions(SAID)
  rows[1] |= change
  path = tmp_path / 'a.jsonl'
  path.write_text('\n'.join(map(json.dumps, rows)))
  with pytest.raises(InputError, match=rf'a\.jsonl, {says}'):
    read_answers(str(path), 'mmau', count=4)
  del rows[1]['choices']
  path.write_text('\n'.join(map(json.dumps, rows)))
  with pytest.raises(InputError, match=r'line 2: .*got no choices'):
    read_answers(str(path), 'mmau', count=4)


def test_files_that_are_none(tmp_path):
  path = tmp_path / 'a.json'
  for text, says in (
    ('[{"id": 1},', 'a.json'),
    ('[]', 'got 0'),
    ('[1]', 'line 1'),
  ):
    path.write_text(text)
    with pytest.raises(InputError, match=says):
      read_answers(str(path), 'mmau', count=4)
  with pytest.raises(InputError, match=r'missing\.json'):
    read_answers(str(tmp_path / 'missing.json'), 'mmau')


def test_the_command_prints_and_writes(tmp_path):
  path = made_benchmark.write(tmp_path / 'a.json', SAID)
  given = ['--mode=eval', f'--answers={path}', '--benchmark=mmau']
  status, out, err = small_run.call(
    *given, '--items=4', f'--workdir={tmp_path}/out'
  )
  assert (status, err) == (0, '')
  head, everything, *_ = out.splitlines()
  assert head.split() == [
    *('questions', 'official', 'strict', 'an', 'option'),
    *('first', 'option', 'random'),
  ]
  assert everything.split()[:4] == ['all', '4', '75.0', '±']
  record = json.loads((tmp_path / 'out' / 'scores.json').read_text())
  assert record['questions']['q2'] == {
    'official': True,
    'strict': False,
    'an option': True,
  }
  for wrong in (given[:2], given[1:], [*given, f'--answers={path}']):
    status, _, err = small_run.call(*wrong)
    assert status == 2
    assert '--answers=FILE and --benchmark=mmau or mmar with --mode=eval' in err
