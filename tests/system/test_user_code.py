"""A user's functions, by the text of a config key."""

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.system.user_code import load, read_calls


def load_one(text):
  (call,) = read_calls(text, 'reward.python')
  return load(call, 'reward.python')


def test_calls_are_read_with_their_arguments():
  first, second = read_calls(
    "a/b.py:one(x=0.5, names=('p,q', 'r')), pack.mod:two", 'reward.python'
  )
  assert first == ('a/b.py', 'one', {'x': 0.5, 'names': ('p,q', 'r')})
  assert second == ('pack.mod', 'two', {})
  assert read_calls('', 'reward.python') == []


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('rewards.py', 'FILE.py:NAME or MODULE:NAME'),
    ('rewards.py:one(3)', 'keyword arguments that are literals'),
    ('rewards.py:one(x=y)', 'keyword arguments that are literals'),
    ('rewards.py:one(x=', 'FILE.py:NAME'),
    ('a.py:one,b.py:one', "'one' twice"),
  ],
)
def test_text_of_another_form_is_refused(text, said):
  with pytest.raises(InputError, match=r'--config\.reward\.python') as error:
    read_calls(text, 'reward.python')
  assert said in str(error.value)


def test_a_file_is_read_from_the_current_folder(tmp_path, monkeypatch):
  (tmp_path / 'own.py').write_text(
    'import beside_own\ndef one():\n  return beside_own.VALUE\n'
  )
  (tmp_path / 'beside_own.py').write_text('VALUE = 7\n')
  monkeypatch.chdir(tmp_path)
  assert load_one('own.py:one')() == 7


def test_a_file_is_executed_once_and_again_when_it_has_changed(tmp_path):
  path = tmp_path / 'counted.py'
  path.write_text('def one():\n  return 1\n')
  assert load_one(f'{path}:one') is load_one(f'{path}:one')
  path.write_text('def one():\n  return 22\n')
  assert load_one(f'{path}:one')() == 22


def test_a_module_is_imported_by_its_name(tmp_path, monkeypatch):
  package = tmp_path / 'own_package'
  package.mkdir()
  (package / 'rewards.py').write_text('def one():\n  return 3\n')
  monkeypatch.syspath_prepend(tmp_path)
  assert load_one('own_package.rewards:one')() == 3


def test_what_is_missing_is_named(tmp_path):
  path = tmp_path / 'own.py'
  path.write_text('def brevity():\n  pass\nnumber = 3\n')
  for text, said in (
    (f'{tmp_path}/nowhere.py:one', 'found none'),
    ('nowhere_at_all:one', 'ModuleNotFoundError'),
    (f'{path}:brevty', "Did you mean 'brevity'?"),
    (f'{path}:number', 'got int'),
  ):
    with pytest.raises(InputError) as error:
      load_one(text)
    assert said in str(error.value)


def test_a_file_that_raises_is_named_with_what_it_raises(tmp_path):
  path = tmp_path / 'broken.py'
  path.write_text('1 / 0\n')
  with pytest.raises(InputError, match='ZeroDivisionError'):
    load_one(f'{path}:one')
