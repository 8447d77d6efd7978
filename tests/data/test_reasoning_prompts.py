"""Prompts of reasoning-gym: the same everywhere, and apart from held-out ones.

The library itself is asked, where its extra is installed.
"""

import importlib.util
import types

from ml_collections import ConfigDict
import pytest

from adrpo_jax.builders.tasks import texts as text_task
from adrpo_jax.data import prompts, reasoning_prompts
from adrpo_jax.data.reasoning_prompts import (
  Entry,
  distinct_ids,
  entry_of,
  library,
)
from adrpo_jax.errors import InputError
from adrpo_jax.system.child_process import make_child_function

needs_library = pytest.mark.skipif(
  importlib.util.find_spec('reasoning_gym') is None,
  reason="needs reasoning-gym: pip install 'adrpo_jax[reasoning]'",
)
WORDS = types.SimpleNamespace(ids=str.split)


@pytest.fixture
def fresh():
  """No process that was loaded before this test, or in it."""
  library.cache_clear()
  yield
  library.cache_clear()


def task_prompts(source, held_out):
  config = ConfigDict(
    {
      'prompts': {
        'source': source,
        'eval_prompts': held_out,
        'max_prompt_length': 400,
        'text_column': '',
        'answer_column': '',
      },
      'eval': {'num_prompts': 4},
    }
  )
  return text_task._of_files(config, WORDS, lambda prompts, _: prompts)


@needs_library
def test_tasks_come_in_turn_with_what_makes_them_again():
  loaded = prompts.load('reasoning_gym:chain_sum,spell_backward:5:3')
  assert loaded.categories == (
    *('chain_sum', 'spell_backward', 'chain_sum', 'spell_backward'),
    'chain_sum',
  )
  entries = list(map(entry_of, loaded.answers))
  assert [(e.task, e.size, e.place) for e in entries] == [
    (task, 3, i // 2) for i, task in enumerate(loaded.categories)
  ]
  assert all('arithmetic' in text for text in loaded.texts[::2])
  assert len(set(loaded.texts)) == 5


@needs_library
def test_another_process_makes_the_same_in_any_order():
  """Tasks that draw from sets, from numpy, and from random as a whole."""
  tasks = 'polynomial_multiplication,isomorphic_strings,pool_matrix,rearc'
  first = prompts.load(f'reasoning_gym:{tasks}:8:1')
  ask = make_child_function(
    reasoning_prompts.CHILD, 60, reasoning_prompts._not_usable
  )
  again = [ask('question', *entry_of(answer)) for answer in first.answers[::-1]]
  assert again == list(first.texts[::-1])
  assert prompts.load(f'reasoning_gym:{tasks}:8:1') == first


@needs_library
def test_other_seeds_draw_other_entries():
  """The library's own seeds s and s + 1 share all entries but one."""
  texts = [prompts.load(f'reasoning_gym:gcd:20:{s}').texts for s in range(4)]
  assert len(set(sum(texts, ()))) == 80


@needs_library
def test_what_is_held_out_is_not_trained_on():
  """A task with few questions makes the same ones from any seed."""
  source, held = (f'reasoning_gym:tower_of_hanoi:60:{s}' for s in (1, 2))
  both = set(prompts.load(source).texts) & set(prompts.load(held).texts)
  training, held_out = task_prompts(source, held)
  assert both
  assert both <= set(prompts.load(held).texts)
  assert not set(training.texts) & set(held_out.texts)
  assert 0 < len(training) < 60
  assert set(training.categories) == {'tower_of_hanoi'}


@needs_library
def test_the_same_seed_for_both_is_refused():
  with pytest.raises(InputError, match=r'got 6 that all are.*different seeds'):
    task_prompts('reasoning_gym:gcd:6:1', 'reasoning_gym:gcd:6:1')


@needs_library
def test_an_unknown_task_is_refused_with_the_nearest():
  with pytest.raises(InputError, match=r"'chain_sums'.*mean 'chain_sum'\?"):
    prompts.load('reasoning_gym:gcd,chain_sums:8')


def test_a_question_that_cannot_be_made_is_said(monkeypatch):
  def ask(what, *entry):
    return {'tasks': ['gcd']}.get(what)

  monkeypatch.setattr(reasoning_prompts, 'library', lambda seconds: ask)
  with pytest.raises(InputError, match=r"example 0: .*task 'gcd', got none"):
    prompts.load('reasoning_gym:gcd:2')


@pytest.mark.parametrize(
  'source',
  [
    *('reasoning_gym:', 'reasoning_gym:gcd,', 'reasoning_gym:gcd:0'),
    *('reasoning_gym:gcd:-1', 'reasoning_gym:gcd:ten', 'reasoning_gym:gcd:'),
    *('reasoning_gym:gcd,lcm:1', 'reasoning_gym:gcd:5:1:2'),
  ],
)
def test_a_source_of_another_form_is_refused(source):
  with pytest.raises(InputError, match=r"Expected 'reasoning_gym:TASK\[,TASK"):
    prompts.load(source)


def test_an_entry_is_written_and_read():
  entry = Entry('gcd', 3, 10, 2)
  assert entry_of(entry.as_answer()) == entry
  for odd in (
    *('', '4', 'null', '[]', '{}', '"gcd"', '[' * 9999, '\ud800'),
    '{"reasoning_gym": 3}',
    '{"reasoning_gym": {"task": "gcd"}}',
    entry.as_answer().replace('3', 'true'),
    entry.as_answer().replace('3', '3.0'),
    entry.as_answer().replace('"gcd"', '["gcd"]'),
  ):
    assert entry_of(odd) is None


def test_apart():
  assert distinct_ids(['a', 'b', 'c', 'a'], ['a', 'd']) == [1, 2]


def test_without_the_library_the_way_out_is_said(fresh, monkeypatch, tmp_path):
  (tmp_path / 'reasoning_gym.py').write_text("raise ImportError('not here')")
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  with pytest.raises(
    InputError, match=r"not here.*pip install 'adrpo_jax\[reasoning\]'"
  ):
    prompts.load('reasoning_gym:gcd:2')
