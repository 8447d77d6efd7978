"""Which config goes on with the run in a workdir, whatever folder it is in."""

import json
import os
import pathlib

from etils import epath
import pytest
import small_run

from adrpo_jax.builders.workdir import check_workdir, claim_workdir
from adrpo_jax.errors import InputError
from adrpo_jax.system.local_paths import make_absolute
from adrpo_jax.system.records import write_json


def config(source, **changes):
  """A config as the command line reads it in the current folder."""
  made = small_run.make_config(prompts__source=str(source), **changes)
  make_absolute(made)
  return made


@pytest.fixture
def workdir(tmp_path, monkeypatch):
  """A run whose prompts and reward were named from its folder."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  for name in ('prompts.txt', 'mine.py', 'other.txt'):
    pathlib.Path(name).touch()
  workdir = epath.Path(tmp_path / 'run')
  workdir.mkdir()
  claim_workdir(config('prompts.txt', reward__python='mine.py:f'), workdir)
  return workdir


def test_the_same_files_by_other_paths_are_the_same_run(workdir, tmp_path):
  for source in ('prompts.txt', '~/prompts.txt', tmp_path / 'prompts.txt'):
    check_workdir(config(source, reward__python='mine.py:f'), workdir)
  check_workdir(config('prompts.txt', reward__python='~/mine.py:f'), workdir)


def test_from_another_folder_too(workdir, tmp_path, monkeypatch):
  (tmp_path / 'below').mkdir()
  monkeypatch.chdir(tmp_path / 'below')
  mine = f'{tmp_path}/mine.py:f'
  for source in ('../prompts.txt', tmp_path / 'prompts.txt'):
    check_workdir(config(source, reward__python=mine), workdir)


def test_a_run_from_before_the_guidance_of_loss_and_evaluation(workdir):
  """It goes on with one scale for all, as it began."""
  path = workdir / 'config.json'
  old = json.loads(path.read_text())['config']
  old['sampler']['guidance_scale'] = 2.0
  del old['training']['guidance_scale'], old['eval']['guidance_scales']
  write_json(path, {'config': old})
  own = {'reward__python': 'mine.py:f', 'sampler__guidance_scale': 2.0}
  alike = {'training__guidance_scale': 2, 'eval__guidance_scales': (2,)}
  check_workdir(config('prompts.txt', **own, **alike), workdir)
  with pytest.raises(InputError, match=r'training\.guidance_scale: 2\.0 there'):
    check_workdir(config('prompts.txt', **own), workdir)


def test_a_run_goes_on_with_another_mesh(workdir):
  own = {'reward__python': 'mine.py:f', 'mesh__fsdp': 2, 'mesh__tensor': 2}
  check_workdir(config('prompts.txt', **own), workdir)


def test_other_files_are_another_run(workdir):
  for source, python in (
    ('other.txt', 'mine.py:f'),
    ('missing.txt', 'mine.py:f'),
    ('prompts.txt', 'mine.py:g'),
    ('prompts.txt', 'mine.py:f(a=1)'),
  ):
    with pytest.raises(InputError, match='another config'):
      check_workdir(config(source, reward__python=python), workdir)


@pytest.mark.parametrize('name', ['configs/prompts.csv', 'absolute'])
def test_files_of_the_package_may_lie_elsewhere(tmp_path, monkeypatch, name):
  """A run of before, or one that another machine has begun."""
  own = small_run.ROOT / 'configs' / 'prompts.csv'
  workdir = epath.Path(tmp_path)
  claim_workdir(config(own), workdir)
  stored = json.loads((workdir / 'config.json').read_text())
  assert stored['config']['prompts']['source'] == str(own)
  del stored['crc']
  if name == 'absolute':
    text = json.dumps(stored).replace(str(small_run.ROOT), '/home/other/clone')
  else:
    stored['config']['prompts']['source'] = name
    del stored['folders']
    text = json.dumps(stored)
  (workdir / 'config.json').write_text(text)
  monkeypatch.chdir(os.sep)
  check_workdir(config(own), workdir)
