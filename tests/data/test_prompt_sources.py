"""Prompt sources, their errors by file and line, and the order of prompts."""

import subprocess
import sys

import numpy as np
import pytest

from adrpo_jax.data import prompts
from adrpo_jax.errors import InputError


@pytest.fixture
def write(tmp_path):
  def write(name, content):
    path = tmp_path / name
    path.write_bytes(
      content if isinstance(content, bytes) else content.encode()
    )
    return str(path)

  return write


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


@pytest.mark.parametrize(
  ('name', 'content', 'expected'),
  [
    ('p.txt', '', r'p\.txt: expected at least one prompt, got none'),
    ('p.txt', ' \n\n', r'p\.txt: expected at least one prompt'),
    ('p.txt', 'a\n\nb\n', r'p\.txt, line 2: the prompt is empty'),
    ('p.txt', b'a\nb\xe9\n', r'p\.txt, line 2: expected UTF-8.*0xe9'),
    ('p.txt', 'ab\ncd'.encode('utf-16-le'), r'line 1: .*zero byte'),
    ('p.txt', 'ab\ncd'.encode('utf-16'), r'line 1: expected UTF-8.*0xff'),
    ('p.jsonl', '', r'p\.jsonl: expected at least one prompt'),
    (
      'p.jsonl',
      '{"prompt": "a"}\n{"prompt": "b"\n',
      r'p\.jsonl, line 2: .*malformed JSON \(.*column \d+\)',
    ),
    ('p.jsonl', '{"prompt": "a"}\n\n{"prompt": "b"}', r'line 2: .*malformed'),
    ('p.jsonl', '{"prompt": "a"}\n["b"]', r"line 2: .*got '\[\"b\"\]'"),
    ('p.jsonl', '{"text": "a"}', r"line 1: .*got the keys \['text'\]"),
    ('p.jsonl', '{"prompt": 3}', r"line 1: .*got 3 as 'prompt'"),
    ('p.jsonl', '{"prompt": "a", "category": 3}', r"got 3 as 'category'"),
    ('p.jsonl', '{"prompt": "  "}', r'line 1: the prompt is empty'),
    ('p.csv', 'a', r'ends in \.txt or \.jsonl.*p\.csv'),
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
  with pytest.raises(ValueError, match='2 prompts and 1 categories'):
    prompts.PromptSet(('a', 'b'), ('',))
  with pytest.raises(AttributeError):
    prompts.PromptSet(('a',), ('',)).texts = ()


def row(num_prompts, per_step, steps, seed=0):
  return np.concatenate(
    [prompts.indices(num_prompts, per_step, s, seed) for s in range(steps)]
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
  starts = [prompts.indices(4, 1, 0, seed)[0] for seed in range(400)]
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
    'print(prompts.indices(10, 4, 99, 0).tolist())'
  )
  fresh = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert fresh.stdout.strip() == str(late.tolist())


@pytest.mark.parametrize('bad', [(0, 1, 0, 0), (1, 0, 0, 0), (1, 1, -1, 0)])
def test_impossible_steps_are_refused(bad):
  with pytest.raises(ValueError, match='Expected num_prompts'):
    prompts.indices(*bad)
