"""Questions about sounds: the usual sets, their options, their errors."""

import collections
import json
import logging

import numpy as np
import pytest

from adrpo_jax.data import prompts, questions, tfds_prompts
from adrpo_jax.errors import InputError

AVQA = {
  'id': 183,
  'video_name': '-HG3Omg_89c_000030',
  'video_id': 341,
  'question_text': 'What happened in the video?',
  'multi_choice': ['motorboat', 'Yacht', 'Sailboat', 'set sail'],
  'answer': 1,
  'question_relation': 'View',
  'question_type': 'Happening',
  'dataset_name': 'AVQA',
  'audio_path': 'sounds/a.wav',
}
MMAU = {
  'id': '3fe64f3d',
  'audio_id': './test-mini-audios/3fe64f3d.wav',
  'question': 'Which word appears last?',
  'choices': ['cat', 'dog', 'owl'],
  'answer': 'owl',
  'dataset': 'Speech',
  'task': 'speech',
  'split': 'test-mini',
  'category': 'Reasoning',
  'difficulty': 'easy',
}
MMAR = {
  'id': 'x_00',
  'audio_path': './audio/x.wav',
  'question': 'What key?',
  'choices': ['C', 'G'],
  'answer': 'G',
  'modality': 'music',
  'category': 'Signal Layer',
  'timestamp': '00:01',
}


def load(path, **settings):
  return prompts.load(path, audio_feature='', choices_feature='', **settings)


@pytest.mark.parametrize(
  ('name', 'row', 'text', 'category', 'audio', 'answer', 'options'),
  [
    ('avqa.jsonl', AVQA, AVQA['question_text'], 'Happening')
    + ('sounds/a.wav', 'Yacht', 4),
    ('mmau.json', MMAU, MMAU['question'], 'speech')
    + ('test-mini-audios/3fe64f3d.wav', 'owl', 3),
    ('mmar.jsonl', MMAR, MMAR['question'], 'music', 'audio/x.wav', 'G', 2),
  ],
)
def test_usual_sets_are_read_as_they_are(
  name, row, text, category, audio, answer, options, write, tmp_path
):
  rows = [row, row]
  lines = json.dumps(rows, indent=1) if name.endswith('.json') else None
  path = write(name, lines or '\n'.join(map(json.dumps, rows)))
  read = load(path)
  assert read.texts == (text,) * 2
  assert read.categories == (category,) * 2
  assert read.audio == (str(tmp_path / audio),) * 2
  assert read.answers == (answer,) * 2
  assert {len(c) for c in read.choices} == {options}
  height = json.dumps(row, indent=1).count('\n') + 1
  assert read.lines == ((2, 2 + height) if lines else (1, 2))
  again = read.take([1])
  assert (again.audio, again.lines) == (read.audio[1:], read.lines[1:])


def test_sets_of_texts_have_no_sounds_and_no_options(write):
  read = prompts.load(write('p.jsonl', json.dumps(MMAU)))
  assert read.audio is None
  assert read.choices is None
  assert read.categories == ('Reasoning',)


def test_an_absolute_path_and_a_bucket_stay(write):
  rows = [MMAR | {'audio_path': p} for p in ('/a/b.wav', 'gs://a/b.wav')]
  path = write('p.jsonl', '\n'.join(map(json.dumps, rows)))
  assert load(path).audio == ('/a/b.wav', 'gs://a/b.wav')
  assert load(write('p.csv', 'question,path\na,/c.wav\n')).audio == ('/c.wav',)


@pytest.mark.parametrize(
  ('listed', 'answer', 'right'),
  [
    (['a', 'b'], 1, 'b'),
    (['a', 'b'], ' b ', 'b'),
    ([' a ', 'b'], 'a', 'a'),
    (['10', '2', '30'], 2, '30'),
    (['10', '2', '30'], '2', '2'),
    ([10, 2, 30], 2, '2'),
    ([0.5, 1], 0.5, '0.5'),
    ([True, False], True, 'true'),
    (['a', 'b'], None, None),
    (['a', 'b'], '', None),
  ],
)
def test_an_answer_is_a_text_or_an_index(listed, answer, right, write):
  row = MMAR | {'choices': listed, 'answer': answer}
  assert load(write('p.jsonl', json.dumps(row))).answers == (right,)


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'choices': ['G']}, r"at least two options, .* got \['G'\]"),
    ({'choices': []}, 'at least two options'),
    ({'choices': ['G', ' ']}, 'none of them blank'),
    ({'choices': ['G', None]}, 'none of them blank'),
    ({'choices': 'G, C'}, "a list of options, got 'G, C'"),
    ({'choices': ['G', ['C', 'D']]}, 'a list of 2'),
    ({'answer': 'D'}, r"one of the options \['C', 'G'\].* got 'D'"),
    ({'answer': 2}, 'from 0 to 1, got 2'),
    ({'answer': -1}, 'from 0 to 1, got -1'),
    ({'answer': 0.5}, 'from 0 to 1, got 0.5'),
    ({'audio_path': None}, 'a file of sound as audio or audio_path'),
    ({'audio_path': ' '}, 'audio_column=KEY'),
    ({'audio_path': ['a', 'b']}, "a list of 2, .* as 'audio_path'"),
  ],
)
@pytest.mark.parametrize('name', ['p.jsonl', 'p.json'])
def test_a_question_that_cannot_be_asked_is_named(name, fields, said, write):
  rows = [MMAR, MMAR | fields]
  lines = '\n'.join(map(json.dumps, rows))
  content = f'[{lines}]'.replace('}\n', '},\n') if name == 'p.json' else lines
  with pytest.raises(InputError, match=rf'{name}, line 2: .*{said}'):
    load(write(name, content))


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    ('[{"text": "a"},\n{"text": }]', r'line 2: .*malformed JSON'),
    ('[{"text": "a"},\n]', r'line 2: .*malformed JSON'),
    ('[{"text": "a"}', r'line 1: .*comma or the end.*the end of the file'),
    ('[{"text": "a"}\n{"text": "b"}]', r"line 1: .*comma .*got '{'"),
    ('[{"text": "a"},\n\n 3]', r"line 3: expected .*got '3'"),
    ('[{"text": "a"}] x', r"one JSON array, got 'x' behind it"),
    ('[]', 'at least one prompt'),
    ('', 'at least one prompt'),
    ('[' * 100_000, 'nested too deep|malformed'),
  ],
)
def test_a_damaged_array_is_named_with_its_line(content, said, write):
  with pytest.raises(InputError, match=rf'p\.json.*{said}'):
    prompts.load(write('p.json', content))


def test_an_array_may_be_laid_out_in_any_way(write):
  content = '\n [\n{"text": "a"} ,\n\n{"text":\n"b"\n}\n,{"text": "c"}]\n\n'
  read = prompts.load(write('p.json', content))
  assert (read.texts, read.lines) == (('a', 'b', 'c'), (3, 5, 8))
  read = prompts.load(write('p.json', '{"text": "a"}\n{"text": "b"}'))
  assert (read.texts, read.lines) == (('a', 'b'), (1, 2))


def test_a_named_column_of_options_has_to_be_there(write):
  path = write('p.jsonl', json.dumps(MMAR))
  with pytest.raises(InputError, match=r"options as 'opt'.*choices_column"):
    prompts.load(path, audio_feature='', choices_feature='opt')
  with pytest.raises(InputError, match='a file of sound as wav, got'):
    prompts.load(path, audio_feature='wav', choices_feature='')


SET = prompts.PromptSet(
  ('a?', 'b?', 'c?'),
  ('', '', ''),
  ('1', '2', None),
  choices=(('1', '2', '3', '4'), ('2', '1'), ()),
)


def test_options_are_shuffled_by_seed_and_id():
  order = questions.shuffled(3)
  posed = questions.posed(SET, order, questions.DIRECT)
  assert [sorted(c) for c in posed.choices] == [sorted(c) for c in SET.choices]
  assert posed == questions.posed(SET, questions.shuffled(3), questions.DIRECT)
  assert posed.answers == SET.answers
  firsts = collections.Counter(order(('r', 'a', 'b'), i)[0] for i in range(900))
  assert all(abs(count - 300) < 60 for count in firsts.values())
  others = questions.shuffled(4)
  assert any(
    others(tuple('abcd'), i) != order(tuple('abcd'), i) for i in (0, 1)
  )
  # The bits of every version of NumPy.
  assert [''.join(order(tuple('abcd'), i)) for i in range(3)] == [
    'dabc',
    'cbda',
    'bcda',
  ]


def test_a_text_has_question_options_and_instruction():
  posed = questions.posed(SET, questions.listed)
  assert posed.texts[0] == (
    f'a?\nThe options are ["1", "2", "3", "4"].\n{questions.THINKING}'
  )
  assert posed.texts[2] == 'c?'
  plain = prompts.PromptSet(('a video',), ('',))
  assert questions.posed(plain, questions.listed) is plain


def test_questions_about_videos_ask_about_audio(write):
  read = load(write('avqa.jsonl', json.dumps(AVQA)))
  text = questions.posed(read, questions.listed, questions.DIRECT).texts[0]
  assert text.startswith('What happened in the audio?\n')


def test_a_repeated_option_is_refused_in_training_alone(write, caplog):
  rows = [MMAR, MMAR | {'choices': ['G', 'C', 'C']}]
  path = write('p.jsonl', '\n'.join(map(json.dumps, rows)))
  with pytest.raises(InputError, match=r'line 2: expected options that differ'):
    questions.check_options(load(path), path, trained=True)
  with caplog.at_level(logging.WARNING):
    questions.check_options(load(path), path, trained=False)
  assert '1 of 2 questions' in caplog.text
  questions.check_options(load(path).take([0]), path, trained=True)


def test_options_of_a_data_set():
  of = tfds_prompts._question
  options = np.array([b'a', b'b'], object)
  assert of(options, tfds_prompts._answer(np.int64(1), ''), '') == (
    ('a', 'b'),
    'b',
  )
  assert of(options, tfds_prompts._answer(b'a', ''), '')[1] == 'a'
  with pytest.raises(InputError, match='x, example 3: expected at least two'):
    of(options[:1], None, 'x, example 3')
