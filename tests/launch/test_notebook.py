"""launch/adrpo_jax_colab.ipynb: as it is kept, and as it runs on a CPU."""

import ast
import base64
import glob
import importlib.metadata
import importlib.util
import io
import json
import os
import shlex
import subprocess
import sys
import types
from typing import NamedTuple

from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
import nbformat
import numpy as np
from PIL import Image
import pytest
import small_run

NOTEBOOK = small_run.ROOT / 'launch' / 'adrpo_jax_colab.ipynb'
WEIGHTS = """\
policy weights, A
[[ 0.5   0.    0.   -0.5 ]
 [ 0.25  0.25  0.25 -0.5 ]]
divergence weights, β₀ − A
[[0.25 0.75 0.75 1.25]
 [0.5  0.5  0.5  1.25]]
"""  # means 0.5 and 0.75; β₀ = 0.75; −0.75 is clipped to −0.5


def kept():
  return nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)


def source_of(name):
  (source,) = (cell.source for cell in kept().cells if cell.id == name)
  return source


def test_it_is_kept_valid_and_cleared():
  notebook = kept()
  nbformat.validate(notebook)
  assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
  code = [cell for cell in notebook.cells if cell.cell_type == 'code']
  assert len(code) == 9
  for cell in code:
    ast.parse(TransformerManager().transform_cell(cell.source))
    assert not cell.outputs, f'Clear the outputs of the cell {cell.id}.'
    assert cell.execution_count is None, f'Clear the outputs of {cell.id}.'


@pytest.mark.parametrize(
  ('weights', 'preset'),
  [('tiny', 'sd3_tiny'), ('gs://a folder', 'sd3_medium_colab'), ('', '')],
)
def test_stable_diffusion_on_one_chip(weights, preset, tmp_path, monkeypatch):
  commands, shown = [], []

  def system(command):
    commands.append(shlex.split(command.format(PYTHON='python', **names)))
    if '--mode=export' in command:
      (tmp_path / 'a run_sd3' / 'export').mkdir(parents=True)

  names = {
    'os': os,
    'WORKDIR': tmp_path / 'a run',
    'show': shown.append,
    'get_ipython': lambda: types.SimpleNamespace(system=system),
  }
  monkeypatch.setenv('ADRPO_SD3', weights)
  exec(TransformerManager().transform_cell(source_of('sd3')), names)
  if not weights:
    assert not commands + shown
    return
  train, export = commands
  assert export == [*train, '--mode=export']
  assert train[:3] == ['python', '-m', 'adrpo_jax.main']
  workdir, config, *changes = train[3:]
  assert workdir == f'--workdir={tmp_path}/a run_sd3'
  assert shown == [tmp_path / 'a run_sd3']
  assert config == f'--config=configs/t2i.py:{preset}'
  keys = dict(flag[len('--config.') :].split('=', 1) for flag in changes)
  values = small_run.preset_config(preset, keys)
  assert values.mesh.fsdp == 1
  assert (small_run.ROOT / values.prompts.source).exists()
  assert values.model.path == (weights if changes else '')


def test_without_the_package_and_its_address_it_says_what_to_do(tmp_path):
  (tmp_path / 'adrpo_jax').mkdir()  # A mere folder, such as a clone.
  script = tmp_path / 'cell.py'
  script.write_text(source_of('install'), encoding='utf-8')
  environment = small_run.process_environment()
  environment.pop('ADRPO_REPO', None)
  done = subprocess.run(  # -S: without the packages installed here
    [sys.executable, '-E', '-S', script],
    cwd=tmp_path,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  assert 'AssertionError: adrpo_jax is not installed' in done.stderr
  assert 'Set REPO in this cell to the address' in done.stderr


DEVICES = {'tpu': '/dev/vfio/[0-9]*', 'gpu': '/dev/nvidia[0-9]*', 'cpu': ''}
PROJECT = """[project]
dependencies = [
  "jax>=0.10.2,<0.11 ; python_version < '3.0'",
  "jax>=0.12.0.1 ; python_version >= '3.0'",
  "numpy>=2",
]
"""


class Machine(NamedTuple):
  """What the cell finds: a device, and packages by their version."""

  device: str
  packages: dict[str, str]


@pytest.fixture
def run_install(tmp_path, monkeypatch):
  """Runs the cell on a Machine -> the commands that it gives."""

  def install(machine, repo):
    commands = []

    def run(command, check):
      commands.append(command)
      if 'clone' in command:
        write_project(tmp_path / command[-1])

    def found(path):
      return [path] * (path == DEVICES[machine.device])

    packages = [
      types.SimpleNamespace(name=name, version=version)
      for name, version in machine.packages.items()
    ]
    monkeypatch.setattr(subprocess, 'run', run)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    monkeypatch.setattr(importlib.metadata, 'distributions', lambda: packages)
    monkeypatch.setattr(glob, 'glob', found)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setenv('ADRPO_REPO', repo)
    monkeypatch.chdir(tmp_path)
    exec(compile(source_of('install'), str(NOTEBOOK), 'exec'), {})
    return commands

  return install


def write_project(folder):
  folder.mkdir()
  (folder / 'pyproject.toml').write_text(PROJECT)


PIP = (sys.executable, '-m', 'pip', 'install', '--quiet', '--editable')


@pytest.mark.parametrize('copied', [False, True])
def test_the_package_is_cloned_or_found_in_a_folder(
  copied, tmp_path, run_install
):
  repo, folder = 'https://host/adrpo_jax.git', tmp_path / 'adrpo_jax_clone'
  clone = ['git', 'clone', '--quiet', '--depth=1', repo, folder.name]
  if copied:
    folder = tmp_path / 'copy'
    write_project(folder)
  commands = run_install(Machine('cpu', {}), str(folder) if copied else repo)
  assert commands == [clone] * (not copied) + [[*PIP, str(folder)]]
  assert sys.path[0] == str(folder)


@pytest.mark.parametrize(
  ('device', 'packages', 'extra'),
  [
    ('tpu', {'jax': '0.12.1', 'libtpu': '0.0.50'}, ''),
    ('tpu', {'jax': '0.12.0', 'libtpu': '0.0.49'}, '[tpu]'),
    ('tpu', {'jax': '0.12.1'}, '[tpu]'),
    ('tpu', {}, '[tpu]'),
    ('gpu', {'jax': '0.12.1', 'jax-cuda13-plugin': '0.12.1'}, ''),
    ('gpu', {'jax': '0.12.1', 'libtpu': '0.0.50'}, '[cuda]'),
    ('gpu', {'jax': '0.7.2', 'jax-cuda12-plugin': '0.7.2'}, '[cuda]'),
    ('cpu', {'jax': '0.7.2', 'jaxlib': '0.7.2'}, ''),
  ],
)
def test_the_jax_of_the_machine_is_kept_where_it_serves(
  device, packages, extra, tmp_path, run_install
):
  write_project(tmp_path / 'copy')
  commands = run_install(Machine(device, packages), str(tmp_path / 'copy'))
  assert commands == [[*PIP, f'{tmp_path}/copy{extra}']]


def test_a_machine_that_is_not_there_and_the_cpu_of_one_that_is(
  tmp_path, run_install, monkeypatch
):
  write_project(tmp_path / 'copy')
  monkeypatch.setenv('ADRPO_MACHINE', 'cpu')
  commands = run_install(Machine('tpu', {}), str(tmp_path / 'copy'))
  assert commands == [[*PIP, f'{tmp_path}/copy']]
  monkeypatch.setenv('ADRPO_MACHINE', 'tpu')
  with pytest.raises(AssertionError, match=r'with a TPU, .* with a GPU'):
    run_install(Machine('gpu', {}), str(tmp_path / 'copy'))


@pytest.fixture(scope='module')
def executed(tmp_path_factory):
  """(a cell's text and pictures by its id, workdir) of a run of all cells."""
  folder = tmp_path_factory.mktemp('notebook')
  workdir = folder / 'a run'
  notebook = kept()
  client = NotebookClient(
    notebook,
    timeout=1200,
    kernel_name='python3',
    resources={'metadata': {'path': str(folder)}},
  )
  client.execute(
    env=small_run.process_environment(
      ADRPO_PRESET='debug',
      ADRPO_WORKDIR=str(workdir),
      IPYTHONDIR=str(folder / 'ipython'),
    )
  )
  return {cell.id: shown(cell) for cell in notebook.cells}, workdir


def shown(cell):
  """What a cell has printed, and its pictures [H, W, C]."""
  text, pictures = '', []
  for output in cell.get('outputs', []):
    assert output.output_type in ('stream', 'display_data'), output
    text += output.get('text', '')
    if png := output.get('data', {}).get('image/png'):
      stream = io.BytesIO(base64.b64decode(png))
      pictures.append(np.asarray(Image.open(stream).convert('RGB'), int))
  return text, pictures


@pytest.mark.slow
def test_it_runs_on_a_cpu(executed):
  cells, workdir = executed
  assert cells['install'] == ('', [])
  assert cells['devices'][0].strip() == '[CpuDevice(id=0)]'
  summary = json.loads((workdir / 'summary.json').read_text())
  assert (summary['steps'], summary['device']) == (2, 'cpu x1')
  before, after = (summary[name]['success'] for name in ('base', 'final'))
  assert f'{before:.1%} before, {after:.1%} after' in cells['run'][0]
  assert cells['core'] == (WEIGHTS, [])
  assert cells['sd3'][0].startswith('Left out')


@pytest.mark.slow
def test_its_pictures(executed):
  cells, workdir = executed
  counts = {name: len(pictures) for name, (_, pictures) in cells.items()}
  assert {name: count for name, count in counts.items() if count} == {
    'curves': 1,
    'pictures': 1,
    'figures': 2,
    'sample': 1,
  }
  for _, pictures in cells.values():
    assert all(picture.std() > 5 for picture in pictures)  # Not blank.
  drawn = sorted(path.name for path in (workdir / 'drawn').glob('*.png'))
  words = 'a_red_circle_left_of_a_blue_square'
  assert drawn == [f'00000_{i:02d}_{words}.png' for i in range(4)]
  for name, picture in zip(
    ('categories', 'beta'), cells['figures'][1], strict=True
  ):
    file = Image.open(workdir / 'figures' / f'{name}.png').convert('RGB')
    np.testing.assert_array_equal(picture, np.asarray(file))
