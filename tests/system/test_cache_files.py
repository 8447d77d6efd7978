"""What is cached comes back to the bit or is made again; none will do too."""

import pathlib
import tempfile
import warnings

import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.system import cache_files, manifest

CONTENT = bytes(range(200))


def of_damaged(content, seed=0, count=40):
  """`content` cut, empty, longer, and with single bits of it flipped."""
  rng = np.random.default_rng(seed)
  yield b''
  yield content + b'\0'
  for size in (1, 31, 32, 33, len(content) - 1):
    yield content[:size]
  for place, bit in rng.integers((len(content), 8), size=(count, 2)):
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    yield bytes(changed)


def test_a_file_comes_back_and_none_is_no_damage(tmp_path):
  path = tmp_path / 'new' / 'a.npz'
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert cache_files.read(path) is None
    assert cache_files.write(path, CONTENT)
    assert cache_files.read(path) == CONTENT
    assert cache_files.write(path, b'')
    assert cache_files.read(path) == b''
  assert [file.name for file in path.parent.iterdir()] == ['a.npz']


def test_no_damaged_file_is_read(tmp_path):
  path = tmp_path / 'a.npz'
  cache_files.write(path, CONTENT)
  for damaged in of_damaged(path.read_bytes()):
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match=r'a\.npz among them'):
      assert cache_files.read(path) is None


def test_a_file_under_the_name_of_another_is_damage(tmp_path):
  path, other = tmp_path / 'a.npz', tmp_path / 'b.npz'
  cache_files.write(path, CONTENT)
  path.rename(other)
  with pytest.warns(UserWarning, match='made again'):
    assert cache_files.read(other) is None


def test_many_damaged_files_are_one_warning(tmp_path):
  paths = [tmp_path / f'{i}.npz' for i in range(30)]
  for path in paths[:20]:
    cache_files.write(path, CONTENT)
  for path in paths[:15]:
    path.write_bytes(path.read_bytes()[:-1])
  with pytest.warns(UserWarning, match='made again') as warned:
    whole = cache_files.are_whole(paths)
  assert whole == [False] * 15 + [True] * 5 + [False] * 10
  (warning,) = warned
  assert '15 of the cached files' in str(warning.message)


def test_what_cannot_be_written_is_a_warning(tmp_path):
  (tmp_path / 'file').write_text('in the way')
  with pytest.warns(UserWarning, match='Nothing can be kept'):
    assert not cache_files.write(tmp_path / 'file' / 'a.npz', CONTENT)
  (tmp_path / 'folder').mkdir()
  with pytest.warns(UserWarning, match='Nothing can be kept'):
    assert not cache_files.write(tmp_path / 'folder', CONTENT)
  assert {p.name for p in tmp_path.iterdir()} == {'file', 'folder'}


@pytest.fixture
def temporary(tmp_path, monkeypatch):
  """The folder for temporary files is one of the test; no root is known."""
  folder = tmp_path / 'temporary'
  folder.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(folder))
  cache_files._writable.cache_clear()
  yield folder
  cache_files._writable.cache_clear()


def test_a_cache_that_cannot_be_written_is_elsewhere(
  tmp_path, monkeypatch, temporary
):
  (tmp_path / 'file').write_text('in the way')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  with pytest.warns(UserWarning, match='XDG_CACHE_HOME'):
    folder = cache_files.cache_folder()
  assert folder.parent == temporary
  assert folder.stat().st_mode & 0o077 == 0  # of this user alone
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert cache_files.cache_folder() == folder  # one warning is enough
  cache_files._writable.cache_clear()
  with pytest.warns(UserWarning, match='takes its place'):
    assert cache_files.cache_folder() == folder  # the next run finds it


def test_without_a_home_there_is_a_cache(monkeypatch, temporary):
  def homeless(path):
    raise RuntimeError('Could not determine home directory.')

  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setattr(pathlib.Path, 'expanduser', homeless)
  with pytest.warns(UserWarning, match='home'):
    assert cache_files.cache_folder().parent == temporary


def test_without_any_folder_the_way_out_is_told(tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('in the way')
  cache_files._writable.cache_clear()
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'file'))
  with pytest.raises(InputError, match='TMPDIR'):
    cache_files.cache_folder()


def test_a_folder_is_made_once_and_again_where_it_is_damaged(tmp_path):
  made = []

  def make(folder):
    made.append(folder)
    (folder / 'inner').mkdir(parents=True)
    (folder / 'inner' / 'a.txt').write_text('abc')

  folder = cache_files.made_folder(tmp_path / 'model', make)
  assert cache_files.made_folder(folder, make) == folder
  assert len(made) == 1
  (folder / 'inner' / 'a.txt').write_text('abd')
  with pytest.warns(UserWarning, match='model among them'):
    cache_files.made_folder(folder, make)
  assert (folder / 'inner' / 'a.txt').read_text() == 'abc'
  (folder / 'manifest.json').unlink()  # as killed while it was made
  cache_files.made_folder(folder, make)
  assert len(made) == 3
  assert manifest.damage(folder) is None
  assert [p.name for p in tmp_path.iterdir()] == ['model']


def test_a_folder_that_another_process_made_meanwhile_is_taken(tmp_path):
  def make(folder):
    folder.mkdir()
    (folder / 'a.txt').write_text('mine')
    other = tmp_path / 'model'
    other.mkdir()
    (other / 'a.txt').write_text('theirs')
    manifest.seal(other)

  folder = cache_files.made_folder(tmp_path / 'model', make)
  assert (folder / 'a.txt').read_text() == 'theirs'
  assert [p.name for p in tmp_path.iterdir()] == ['model']
