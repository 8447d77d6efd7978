"""The package as pip installs it: its wheel, in a folder apart from ours."""

import json
import shutil
import subprocess
import sys

import pytest
import small_run

from adrpo_jax import console
from adrpo_jax.system import config_files

pytest.importorskip('setuptools', minversion='77')
SOURCES = ('adrpo_jax', 'configs', *('setup.py', 'pyproject.toml'))
SOURCES += ('MANIFEST.in', 'README.md', 'LICENSE')


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """The folder that the wheel of these sources is installed into."""
  sources = tmp_path_factory.mktemp('sources')
  for name in SOURCES:
    path = small_run.ROOT / name
    copy = shutil.copytree if path.is_dir() else shutil.copy
    copy(path, sources / name)
  pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q']
  pip_wheel = [*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w']
  subprocess.run([*pip_wheel, sources / 'wheels', sources], check=True)
  (wheel,) = (sources / 'wheels').glob('adrpo_jax-*.whl')
  target = tmp_path_factory.mktemp('installed')
  pip_install = [*pip, 'install', '--no-deps', '--no-index', '--target']
  subprocess.run([*pip_install, target, wheel], check=True)
  return target


def run(installed, folder, *words):
  """The console script in a folder that knows nothing of the checkout."""
  done = subprocess.run(
    [sys.executable, installed / 'bin' / 'adrpo-jax', *words],
    cwd=folder,
    env=small_run.process_environment(PYTHONPATH=str(installed)),
    capture_output=True,
    text=True,
    check=False,
  )
  assert str(small_run.ROOT) not in done.stdout + done.stderr
  return done


@pytest.mark.slow
def test_a_preset_trains_from_any_folder(installed, tmp_path):
  shorter = [f'--config.{key}' for key in ('steps=1', 'eval.num_prompts=8')]
  done = run(
    *(installed, tmp_path, 'train', '--config=t2i.py:debug', '--workdir=run'),
    *shorter,
  )
  assert done.returncode == 0, done.stderr
  assert 'Report: ' in done.stdout
  assert json.loads((tmp_path / 'run' / 'summary.json').read_text())['steps']


@pytest.mark.slow
def test_a_config_of_ones_own_builds_on_a_preset(installed, tmp_path):
  """Beside another file of a folder that is called configs too."""
  (tmp_path / 'configs').mkdir()
  (tmp_path / 'configs' / 'sizes.py').write_text('STEPS = 2\n')
  (tmp_path / 'mine.py').write_text(
    'from configs import llm, sizes\n\n'
    'def get_config():\n'
    "  config = llm.get_config('debug')\n"
    '  config.steps = sizes.STEPS\n'
    '  config.prompts.prompts_per_step = 7\n'
    '  return config\n'
  )
  done = run(
    *(installed, tmp_path, 'eval', '--config=mine.py', '--workdir=run'),
    '--config.compute.reward_chunks=2',
  )
  assert done.returncode == 2
  assert 'prompts_per_step' in done.stderr
  assert 'got 7' in done.stderr


def test_the_wheel_has_the_files_of_configs(installed):
  configs = installed / 'adrpo_jax' / 'presets' / 'configs'
  files = {file.name for file in configs.iterdir()} - {'__pycache__'}
  ours = {f.name for f in (small_run.ROOT / 'configs').glob('*.*')}
  assert files == ours >= {'t2i.py', 'llm.py', 'prompts.csv'}
  for base in ('sort_base', 'tones_base'):
    assert (installed / 'adrpo_jax' / 'worlds' / base).is_dir()


def test_a_command_is_that_of_a_module(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['adrpo-jax'])
  assert console.main() == 0
  assert 'train, eval, sample' in capsys.readouterr().out
  monkeypatch.setattr(sys, 'argv', ['adrpo-jax', 'trian'])
  assert console.main() == 2
  assert "Did you mean 'train'?" in capsys.readouterr().err


def test_a_config_file_is_looked_for_here_and_in_the_package(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  ours = small_run.ROOT / 'configs' / 't2i.py'
  for path in ('t2i.py', 'configs/t2i.py'):
    assert config_files.resolved(f'{path}:debug') == f'{ours}:debug'
  (tmp_path / 't2i.py').write_text('')
  assert config_files.resolved('t2i.py') == 't2i.py'
  with pytest.raises(ValueError, match=r'the package has audio\.py, llm'):
    config_files.resolved('t3i.py')
