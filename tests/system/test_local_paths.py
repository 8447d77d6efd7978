"""Paths as people write them: ~, relative, and what is no path at all."""

import os
import pathlib

from ml_collections import ConfigDict
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.system import config_files
from adrpo_jax.system.local_paths import absolute, expanded, make_absolute


@pytest.fixture
def home(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'here').mkdir()
  return tmp_path


def test_a_tilde_is_the_home_folder(home):
  assert expanded('~/run') == f'{home}/run'
  assert expanded('run/~') == 'run/~'
  assert expanded('gs://bucket/~') == 'gs://bucket/~'


def test_without_a_home_folder_a_tilde_is_refused(monkeypatch):
  monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
  with pytest.raises(InputError, match='Set HOME'):
    expanded('~/run')
  assert expanded('run') == 'run'


@pytest.mark.parametrize(
  'path',
  ['', 'owner/model', 'owner/model@v1', 'gs://bucket/here', 'tfds:coco:train'],
)
def test_what_is_not_on_this_machine_stays(home, path):
  assert absolute(path) == path


def test_every_path_of_a_config_is_made_absolute(home):
  config = ConfigDict(
    {
      'model': {'path': '~/here', 'family': 'here'},
      'prompts': {'source': 'here', 'eval_prompts': '~/missing'},
      'reward': {
        'clip': {'path': './here', 'head': 'here', 'base': 'id/of-the-hub'},
        'pattern': '~/here',
      },
    }
  )
  make_absolute(config)
  assert config.to_dict() == {
    'model': {'path': f'{home}/here', 'family': 'here'},
    'prompts': {'source': f'{home}/here', 'eval_prompts': f'{home}/missing'},
    'reward': {
      'clip': {
        'path': f'{home}/here',
        'head': f'{home}/here',
        'base': 'id/of-the-hub',
      },
      'pattern': '~/here',
    },
  }


def test_a_config_file_behind_a_tilde_is_found(home):
  pathlib.Path('own.py').touch()
  assert config_files.resolved('~/own.py:debug') == f'{home}/own.py:debug'
