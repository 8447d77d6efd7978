"""Every mode on four processes with two devices each, for every family.

Weights are split over processes by fsdp, or by tensor as well. What a run on
several hosts leaves is what one host leaves, to rounding, though all of its
processes were killed once. A family takes minutes of two cores, so there is one
of them here, split by fsdp and by tensor; with HOSTS=all in the environment
there are all.
"""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file
import small_run

from adrpo_jax.builders.tasks import tiny_sounds

pytestmark = pytest.mark.slow
SOUND = 'SOUND'  # stands for a file
PROCESSES = 4  # with two devices each, see command_lines.py
SHORT = {'steps': 2, 'training__learning_rate': 1e-3}
FSDP = {'mesh__data': 1, 'mesh__fsdp': 8, 'mesh__tensor': 1}
TENSOR = {'mesh__data': 1, 'mesh__fsdp': 2, 'mesh__tensor': 4}
PROMPT = '--prompt=a red circle'
# name -> (file of configs, preset, changes, words of a draw)
FAMILIES = {
  'world': ('t2i', 'debug', FSDP, [PROMPT]),
  'sd3_tiny': (
    't2i',
    'sd3_tiny',
    FSDP | {'model__path': '', 'compute__microbatches': 1},
    [PROMPT],
  ),
  'text_world': ('llm', 'debug', TENSOR, ['--prompt=3 1 2']),
  'qwen_tiny': ('llm', 'tiny_hf', TENSOR, [PROMPT]),
  'omni_tiny': (
    'audio',
    'tiny_hf',
    # Half of random answers match; without a reward there is no gradient.
    TENSOR | {'model__lora_rank': 2, 'reward__regex_format__pattern': '.*e.*'},
    [PROMPT, f'--audio={SOUND}'],
  ),
}
ALWAYS = ('text_world',)


@contextlib.contextmanager
def hosts(folder, commands):
  """All processes, which run these command lines.

  Their cache of programs is new. The first process alone writes it, so all
  compile the first time and all read it the next time. Otherwise the first
  would wait for the others, and gloo gives up after 30 s.
  """
  folder.mkdir(exist_ok=True)
  script = folder / 'commands.json'
  script.write_text(json.dumps(commands))
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  own = pathlib.Path(__file__).with_name('command_lines.py')
  processes = []
  for rank in range(PROCESSES):
    environment = small_run.process_environment(
      JAX_COORDINATOR_ADDRESS=f'localhost:{port}',
      JAX_NUM_PROCESSES=str(PROCESSES),
      JAX_PROCESS_ID=str(rank),
      JAX_COMPILATION_CACHE_DIR=str(folder / 'programs'),
      XDG_CACHE_HOME=str(folder / f'cache_{rank}'),  # Each host has its own.
    )
    processes.append(
      subprocess.Popen(
        [sys.executable, str(own), str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
      )
    )
  try:
    yield processes
  finally:
    for process in processes:
      process.kill()
      process.communicate()


def killed_after(path, processes, seconds=600):
  """Kills all processes as soon as a file is there."""
  give_up = time.monotonic() + seconds
  while not path.exists():
    for process in processes:
      assert process.poll() is None, process.communicate()[1][-3000:]
    assert time.monotonic() < give_up
    time.sleep(0.01)
  for process in processes:
    process.kill()


def said(processes):
  """What each process has said, (stdout, stderr), after all have ended well."""
  spoken = [process.communicate(timeout=900) for process in processes]
  for process, (_, err) in zip(processes, spoken, strict=True):
    assert process.returncode == 0, err[-3000:]
  return spoken


def sound(folder):
  """A file of sound."""
  return tiny_sounds.write(folder / 'sounds') / 'clip_03.wav'


def exported(workdir):
  """All tensors that an export holds, by file and name."""
  return {
    f'{file.name} {name}': array
    for file in sorted((workdir / 'export').rglob('*.safetensors'))
    for name, array in load_file(file).items()
  }


def case(name):
  """A family of the table, which may wait for HOSTS=all."""
  waits = name not in ALWAYS and os.environ.get('HOSTS') != 'all'
  reason = 'takes minutes; HOSTS=all runs it'
  return pytest.param(name, marks=pytest.mark.skipif(waits, reason=reason))


@pytest.mark.parametrize('name', [case(name) for name in FAMILIES])
def test_every_mode(name, tmp_path):
  file, preset, changes, words = FAMILIES[name]
  words = [word.replace(SOUND, str(sound(tmp_path))) for word in words]
  flags = small_run.arguments(preset, file, **SHORT, **changes)
  several, alone = (
    [*flags, f'--workdir={tmp_path / where}'] for where in ('several', 'alone')
  )
  with hosts(tmp_path / 'hosts', [several]) as processes:
    killed_after(tmp_path / 'several/checkpoints/00000001/meta.json', processes)
  commands = [
    several,  # It goes on.
    [*several, '--mode=eval'],
    [*several, '--mode=sample', '--count=2', *words],
    [*several, '--mode=export'],
  ]
  with hosts(tmp_path / 'hosts', commands) as processes:
    (out, err), *others = said(processes)
  assert out.count('status 0') == len(commands)
  assert re.search(r'^step (\d+)/', err, re.MULTILINE)[1] == '2'
  # The first alone writes and speaks, but for gloo, whose threads write their
  # lines into each other.
  for silent, _ in others:
    lines = [line for line in silent.splitlines() if 'peer ranks' not in line]
    assert set(lines) == {'status 0'}
  for more in ([], ['--mode=export']):
    status, _, err = small_run.call(*alone, *more, devices=8)
    assert status == 0, err
  told, wanted = (
    json.loads((tmp_path / where / 'summary.json').read_text())
    for where in ('several', 'alone')
  )
  assert (told['steps'], told['device']) == (2, 'cpu x8')
  for key in ('reward', 'divergence'):
    assert told['final'][key] == pytest.approx(wanted['final'][key], abs=1e-4)
  assert (tmp_path / 'several/report.html').exists()
  assert len(list((tmp_path / 'several/drawn').iterdir())) >= 2
  weights, expected = (exported(tmp_path / w) for w in ('several', 'alone'))
  assert weights.keys() == expected.keys() != set()
  for key, array in expected.items():
    # Adam makes visible steps of gradients that are 0 but for rounding.
    step = SHORT['training__learning_rate'] * np.sqrt(array.size)
    gap = np.linalg.norm(np.float64(weights[key]) - array)
    assert gap <= 1e-5 * np.linalg.norm(array) + 1e-4 * step, key
