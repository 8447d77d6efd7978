"""Two runs of one folder, and two folders of one name."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

from etils import epath
import pytest
import small_run

from adrpo_jax.errors import InputError
from adrpo_jax.system import run_folder
from adrpo_jax.system.run_folder import locked, new_folder

HOLDER = """
import sys, time
from etils import epath
from adrpo_jax.system.run_folder import locked
with locked(epath.Path(sys.argv[1])):
  print('locked', flush=True)
  time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
  """A process that has locked a folder."""
  process = subprocess.Popen(
    [sys.executable, '-c', HOLDER, str(tmp_path / 'run')],
    env=small_run.process_environment(),
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b'locked\n'
  yield process
  process.kill()
  process.wait()


def test_a_folder_in_use_is_refused_by_whom_and_since_when(tmp_path, holder):
  folder = epath.Path(tmp_path / 'run')
  with pytest.raises(InputError) as caught, locked(folder):
    pass
  assert f'process {holder.pid} on {os.uname().nodename}' in str(caught.value)
  assert 'uses it since 20' in str(caught.value)
  holder.send_signal(signal.SIGKILL)
  holder.wait()
  assert (folder / '.lock').exists()  # It is stale.
  with locked(folder):
    pass
  assert not (folder / '.lock').exists()


def test_one_process_cannot_lock_a_folder_twice(tmp_path):
  with (
    locked(epath.Path(tmp_path)),
    pytest.raises(InputError, match=str(os.getpid())),
    locked(epath.Path(tmp_path)),
  ):
    pass
  with locked(epath.Path(tmp_path)):
    pass


def test_only_process_0_of_a_pod_locks(tmp_path, monkeypatch):
  with locked(epath.Path(tmp_path)):
    monkeypatch.setattr(run_folder.jax, 'process_index', lambda: 1)
    with locked(epath.Path(tmp_path)):
      pass


@pytest.mark.parametrize('content', [b'', b'{', b'[]', b'{"process": 1}'])
def test_a_lock_without_its_owner_is_a_lock(tmp_path, content):
  path = tmp_path / '.lock'
  path.write_bytes(content)
  with path.open('rb') as stream:
    fcntl.flock(stream, fcntl.LOCK_EX)
    with (
      pytest.raises(InputError, match='another process uses it'),
      locked(epath.Path(tmp_path)),
    ):
      pass


def test_a_file_system_without_locks_is_warned_of(
  tmp_path, monkeypatch, capsys
):
  def flock(*_):
    raise OSError(errno.ENOLCK, 'No locks available')

  monkeypatch.setattr(fcntl, 'flock', flock)
  with locked(epath.Path(tmp_path)):
    pass
  assert 'WARNING' in capsys.readouterr().err


def test_a_system_without_locks_is_warned_of(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'fcntl', None)
  with locked(epath.Path(tmp_path)):
    pass
  assert 'no fcntl here). Start no second run' in capsys.readouterr().err


def test_what_is_empty_in_the_end_is_removed(tmp_path):
  folder = epath.Path(tmp_path / 'run')
  with locked(folder):
    assert folder.exists()
  assert not folder.exists()
  folder.mkdir()
  with locked(folder):
    pass
  assert folder.exists()  # It was there before.
  with locked(folder):
    (folder / 'config.json').touch()
  assert [path.name for path in folder.iterdir()] == ['config.json']


def test_default_folders_of_one_second_differ(tmp_path):
  stem = epath.Path(tmp_path) / 'runs' / '2026-11-26_12-00-00_adrpo'
  with new_folder(stem) as first, new_folder(stem) as second:
    with new_folder(stem) as third:
      names = [folder.name for folder in (first, second, third)]
      assert names == [stem.name, f'{stem.name}_2', f'{stem.name}_3']
    (second / 'config.json').touch()
  assert [path.name for path in stem.parent.iterdir()] == [second.name]


def test_a_folder_that_cannot_be_made_is_an_error_of_input(tmp_path):
  (tmp_path / 'runs').touch()
  for context in (new_folder, locked):
    with (
      pytest.raises(InputError, match='can be written to'),
      context(epath.Path(tmp_path / 'runs' / 'a')),
    ):
      pass
