"""launch/adrpo_jax_colab.ipynb: as it is kept, and as it runs on a CPU."""

import ast
import base64
import glob
import importlib.util
import io
import json
import re
import shlex
import subprocess
import sys

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
  assert len(code) == 8
  for cell in code:
    ast.parse(TransformerManager().transform_cell(cell.source))
    assert not cell.outputs, f'Clear the outputs of the cell {cell.id}.'
    assert cell.execution_count is None, f'Clear the outputs of {cell.id}.'


def test_commands_for_stable_diffusion_name_what_there_is():
  blocks = re.findall(r'```sh\n(.*?)```', source_of('sd3'), re.DOTALL)
  commands = ''.join(blocks).replace('\\\n', '').splitlines()
  presets = []
  for command in commands:
    flags = dict(
      flag.removeprefix('--').split('=', 1) for flag in shlex.split(command)[3:]
    )
    presets.append(flags.pop('config').removeprefix('configs/t2i.py:'))
    changes = {
      name.removeprefix('config.'): value
      for name, value in flags.items()
      if name.startswith('config.')
    }
    config = small_run.preset_config(presets[-1], changes)
    assert config.model.family == presets[-1].removesuffix('_medium')
  assert presets == ['sd3_tiny', 'sd3_tiny', 'sd3_medium', 'sd3_medium']


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


@pytest.mark.parametrize(
  ('device', 'extra'),
  [('/dev/accel*', '[tpu]'), ('/dev/nvidia[0-9]*', '[cuda]'), ('', '')],
)
@pytest.mark.parametrize('copied', [False, True])
def test_install(device, extra, copied, tmp_path, monkeypatch):
  repo = str(tmp_path / 'copy') if copied else 'https://host/adrpo_jax.git'
  source = tmp_path / ('copy' if copied else 'adrpo_jax_clone')
  if copied:
    source.mkdir()
  commands = []
  monkeypatch.setattr(
    subprocess, 'run', lambda command, check: commands.append(command)
  )
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  monkeypatch.setattr(glob, 'glob', lambda path: [path] * (path == device))
  monkeypatch.setattr(sys, 'path', [])
  monkeypatch.setenv('ADRPO_REPO', repo)
  monkeypatch.chdir(tmp_path)
  exec(compile(source_of('install'), str(NOTEBOOK), 'exec'), {})
  pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--editable']
  clone = ['git', 'clone', '--quiet', '--depth=1', repo, source.name]
  assert commands == [clone] * (not copied) + [[*pip, f'{source}{extra}']]
  assert sys.path == [str(source)]


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
