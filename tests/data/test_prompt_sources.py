"""Prompt sources, their errors by file and line, and the order of prompts."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from adrpo_jax.data import prompts
from adrpo_jax.errors import InputError


def test_txt(write):
  path = write('p.txt', '\ufeffa red circle\r\n  два кота \na\u2028b\n\n\n')
  loaded = prompts.load(path)
  assert loaded.texts == ('a red circle', 'два кота', 'a\u2028b')
  assert loaded.categories == ('', '', '')
  assert len(loaded) == 3


def test_jsonl(write):
  path = write(
    'p.jsonl',
    '{"prompt": "a cat", "category": "single", "seed": 3}\n'
    '{"prompt": "\\u00fc ü"}\n',
  )
  loaded = prompts.load(path)
  assert loaded.texts == ('a cat', 'ü ü')
  assert loaded.categories == ('single', '')
  captions = write('c.jsonl', '{"caption": "a dog", "kind": "x"}')
  loaded = prompts.load(
    captions, text_feature='caption', category_feature='kind'
  )
  assert (loaded.texts, loaded.categories) == (('a dog',), ('x',))


def test_drawbench(write):
  path = write(
    'drawbench.csv',
    'Prompts,Category\r\nA red fox.,Colors\r\n'
    '"A fox, a hare, and an owl.",Made by others \r\n'
    'A board that reads "No, thanks".,"Text, or so"\r\n',
  )
  with pytest.raises(InputError, match=r'line 4: expected 2 cells.*got 3'):
    prompts.load(path)
  path = write(
    'DrawBench.CSV',
    '\ufeffPrompts,Category\r\nA red fox.,Colors\r\n'
    '"A fox, a hare, and an owl.",Made by others \r\n'
    '"A board\nthat reads ""No, thanks"".",Text\r\n\r\n',
  )
  loaded = prompts.load(path)
  assert loaded.texts == (
    'A red fox.',
    'A fox, a hare, and an owl.',
    'A board\nthat reads "No, thanks".',
  )
  assert loaded.categories == ('Colors', 'Made by others', 'Text')


def test_parti_prompts(write):
  """Tabs and no quoting: a cell may begin with a quote, the last be empty."""
  path = write(
    'parti.tsv',
    'Prompt\tCategory\tChallenge\tNote\n'
    'hope\tAbstract\tBasic\tof many meanings\n'
    '"O W L S" on a wall, in chalk\tIllustrations\tWriting & Symbols\t\n'
    'the word "HOOT" on a tree\tArts\tBasic\t\n'
    '"a fox ""at"" home"\tAnimals\tBasic\t\n',
  )
  loaded = prompts.load(path)
  assert loaded.texts == (
    'hope',
    '"O W L S" on a wall, in chalk',
    'the word "HOOT" on a tree',
    'a fox "at" home',
  )
  assert loaded.categories == ('Abstract', 'Illustrations', 'Arts', 'Animals')


def test_geneval(write):
  path = write(
    'evaluation_metadata.jsonl',
    '{"tag": "two_object", "include": [{"class": "fox", "count": 1}], '
    '"prompt": "a photo of a fox and an owl"}\n'
    '{"tag": "counting", "category": "more", "prompt": "three owls"}\n',
  )
  loaded = prompts.load(path)
  assert loaded.texts == ('a photo of a fox and an owl', 'three owls')
  assert loaded.categories == ('two_object', 'more')


@pytest.mark.parametrize(
  ('content', 'texts', 'categories'),
  [
    ('id,CAPTION\n1,a fox\n', ('a fox',), ('',)),
    ('tag;text\nx;a, b\n', ('a, b',), ('x',)),
    ('prompt\n"a, b"\nc\n', ('a, b', 'c'), ('', '')),
    ('text,Tag,prompt,category\n1,2,3,4\n', ('3',), ('4',)),
  ],
)
def test_columns_are_known_by_their_names(content, texts, categories, write):
  loaded = prompts.load(write('p.csv', content))
  assert (loaded.texts, loaded.categories) == (texts, categories)


def test_columns_can_be_named(write):
  path = write('p.csv', 'prompt,long,kind\na,a long fox,x\n')
  loaded = prompts.load(path, text_feature='Long', category_feature='kind')
  assert (loaded.texts, loaded.categories) == (('a long fox',), ('x',))
  with pytest.raises(InputError, match=r"column short, got .*'long', 'kind'"):
    prompts.load(path, text_feature='short')


def test_a_prompt_that_cannot_be_used_is_refused_with_its_line(write):
  def check(text):
    if 'owl' in text:
      raise ValueError(f'no owls, got {text!r}')

  path = write('p.csv', 'prompt,tag\n"a\nfox",x\nan owl ,y\n')
  with pytest.raises(InputError, match=r"csv, line 4: no owls, got 'an owl'$"):
    prompts.load(path, check=check)


def test_a_file_in_a_bucket(monkeypatch):
  """A file system in memory stands in for the one behind gs://."""
  fsspec = pytest.importorskip('fsspec')
  known = importlib.import_module('fsspec.registry')._registry
  memory = fsspec.get_filesystem_class('memory')
  for protocol in ('gs', 'gcs'):
    monkeypatch.setitem(known, protocol, memory)
  from etils import epath

  epath.Path('gs://bucket/p.csv').write_text('Prompts\na fox\n')
  assert prompts.load('gs://bucket/p.csv').texts == ('a fox',)
  with pytest.raises(InputError, match=r'gs://bucket/q\.csv: expected a read'):
    prompts.load('gs://bucket/q.csv')


def test_reading_a_file_imports_nothing_heavy(write):
  path = write('p.csv', 'prompt\na fox\n')
  code = (
    'import sys; from adrpo_jax.data import prompts;'
    f'prompts.load({path!r});'
    'print({"tensorflow_datasets", "fsspec", "pandas"} & set(sys.modules))'
  )
  fresh = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert fresh.stdout.strip() == 'set()'


@pytest.mark.parametrize(
  ('name', 'content', 'expected'),
  [
    ('p.txt', '', r'p\.txt: expected at least one prompt, got none'),
    ('p.txt', ' \n\n', r'p\.txt: expected at least one prompt'),
    ('p.txt', b'a\nb\xe9\n', r'p\.txt, line 2: expected UTF-8.*0xe9'),
    ('p.txt', 'ab\ncd'.encode('utf-16-le'), r'line 1: .*zero byte'),
    ('p.txt', 'ab\ncd'.encode('utf-16'), r'line 1: expected UTF-8.*0xff'),
    ('p.jsonl', '', r'p\.jsonl: expected at least one prompt'),
    (
      'p.jsonl',
      '{"prompt": "a"}\n{"prompt": "b"\n',
      r'p\.jsonl, line 2: .*malformed JSON \(.*column \d+\)',
    ),
    ('p.jsonl', '{"prompt": "a"}\r\r["b"]', r"line 3: .*got '\[\"b\"\]'"),
    ('p.txt', b'a\rb\r\nc\nd\xe9', r'p\.txt, line 4: expected UTF-8.*0xe9'),
    ('p.txt', 'a\rb\r\r\0', r'p\.txt, line 4: .*zero byte'),
    ('p.jsonl', '{"prompt": ' + 9999 * '[', r'line 1: .*nested too deep'),
    ('p.jsonl', '{"prompt": null}', r"line 1: .*got null as 'prompt'"),
    (
      'p.jsonl',
      '{"prompt": "a", "tag": {"b": 1}}',
      r'object, {"b": "1"} as .tag',
    ),
    ('p.jsonl', '{"prompt": "a", "tag": [1, "b"]}', r'list of 2, \["1", "b"\]'),
    ('p.jsonl', '{"prompt": "a"}\n["b"]', r"line 2: .*got '\[\"b\"\]'"),
    ('p.jsonl', '{"title": "a"}', r"line 1: .*got the keys \['title'\]"),
    ('p.jsonl', '{"prompt": 3}', r"line 1: .*got .*3.* as 'prompt'"),
    ('p.jsonl', '{"prompt": "  "}', r'line 1: the prompt is empty'),
    ('p.md', '{}', r'ends in \.txt, \.jsonl, \.csv, \.tsv.*p\.md'),
    ('p.csv', '\n', r'p\.csv: expected at least one prompt, got none'),
    ('p.csv', 'prompt\n', r'p\.csv: expected at least one prompt, got none'),
    (
      'p.csv',
      'a red fox,animals\n',
      r"p\.csv, line 1: .*column prompt or .* got the columns \['a red fox'",
    ),
    (
      'p.csv',
      'prompt,tag\n"a\nb",x\na fox, a hare,animals\n',
      r'p\.csv, line 4: expected 2 cells, for prompt, tag, got 3',
    ),
    ('p.csv', 'prompt,tag\r\ra,b\rc\r', r'line 4: expected 2 cells.*got 1'),
    ('p.csv', 'prompt,tag\na,b\n ,b\n', r'line 3: the prompt is empty'),
    ('p.csv', 'prompt,tag\na,b\n"c" d,e\n', r'line 3: expected cells with'),
    ('p.csv', 'prompt,tag\na,b\n"c,d\n', r"line 3: .*',' between.*end of data"),
    ('p.tsv', 'Prompt\tTag\na\n', r'p\.tsv, line 2: expected 2 cells'),
  ],
)
def test_errors_name_file_and_line(name, content, expected, write):
  with pytest.raises(InputError, match=expected):
    prompts.load(write(name, content))


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(InputError, match=r'none\.txt.*No such file'):
    prompts.load(str(tmp_path / 'none.txt'))
  (tmp_path / 'dir.txt').mkdir()
  with pytest.raises(InputError, match=r'dir\.txt.*Is a directory'):
    prompts.load(str(tmp_path / 'dir.txt'))


def test_a_prompt_set_is_whole_and_frozen():
  with pytest.raises(ValueError, match=r'2 prompts, 1 cat.* and 2 answers'):
    prompts.PromptSet(('a', 'b'), ('',))
  with pytest.raises(AttributeError):
    prompts.PromptSet(('a',), ('',)).texts = ()


def row(num_prompts, per_step, steps, seed=0):
  return np.concatenate(
    [prompts.step_ids(num_prompts, per_step, s, seed) for s in range(steps)]
  )


@pytest.mark.parametrize(('num', 'per_step'), [(7, 3), (3, 7), (8, 4), (1, 5)])
def test_every_epoch_is_a_permutation(num, per_step):
  epochs = row(num, per_step, 4 * num)[: 4 * num].reshape(4, num)
  for epoch in epochs:
    assert sorted(epoch) == list(range(num))


def test_the_order_does_not_depend_on_the_size_of_a_step():
  np.testing.assert_array_equal(row(11, 2, 30), row(11, 6, 10))


def test_epochs_and_seeds_differ():
  first, second = row(50, 50, 2).reshape(2, 50)
  assert (first != second).any()
  assert (row(50, 50, 1, seed=1) != first).any()
  # Each prompt is first about as often as any other, over seeds.
  starts = [prompts.step_ids(4, 1, 0, seed)[0] for seed in range(400)]
  assert (abs(np.bincount(starts, minlength=4) - 100) < 40).all()


def test_the_order_is_pinned():
  """Resuming after an upgrade must not change what a run sees."""
  np.testing.assert_array_equal(
    row(6, 4, 3, seed=3), [0, 1, 2, 5, 4, 3, 5, 3, 0, 1, 2, 4]
  )


def test_a_step_needs_no_history():
  late = row(10, 4, 100)[-4:]
  code = (
    'from adrpo_jax.data import prompts;'
    'print(prompts.step_ids(10, 4, 99, 0).tolist())'
  )
  fresh = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert fresh.stdout.strip() == str(late.tolist())


@pytest.mark.parametrize('bad', [(0, 1, 0, 0), (1, 0, 0, 0), (1, 1, -1, 0)])
def test_impossible_steps_are_refused(bad):
  with pytest.raises(ValueError, match='Expected num_prompts'):
    prompts.step_ids(*bad)
