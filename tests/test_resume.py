"""Runs that are killed, damaged or moved end as if nothing had been.

The command line in processes of its own, on the smallest run. On the same
devices a run goes on to the same bits; on others, to rounding.
"""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import ClassVar

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import small_run

from adrpo_jax import checkpoint
from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.tree_names import leaf_names

pytestmark = pytest.mark.slow

STEPS = 6
EVERY = {'steps': STEPS, 'eval__every': 3, 'checkpoint__max_to_keep': STEPS}
VARIANTS = {
  'adrpo': EVERY,
  # It samples from a slowly moving copy; the averaged weights are a third.
  'nft': EVERY | {'method__name': 'nft', 'training__ema_decay': 0.9},
  'language': EVERY | {'file': 'llm'},
  'audio': EVERY | {'file': 'audio'},
}
ROUNDING = 1e-5


class Job:
  """A command line that runs in a process of its own."""

  begun: ClassVar[list['Job']] = []

  def __init__(self, command, workdir, devices=1):
    self.workdir = workdir
    self._out = workdir.with_name(f'{workdir.name}.out')
    self._err = workdir.with_name(f'{workdir.name}.err')
    environment = small_run.process_environment(
      JAX_NUM_CPU_DEVICES=str(devices)
    )
    with self._out.open('w') as out, self._err.open('w') as err:
      self.process = subprocess.Popen(
        command, stdout=out, stderr=err, env=environment
      )
    self.begun.append(self)

  def ended(self, status=0, seconds=400):
    """Waits for its end -> stdout, stderr."""
    self.process.wait(seconds)
    assert self.process.returncode == status, self.errors()[-3000:]
    return self._out.read_text(), self.errors()

  def errors(self):
    """What it has written to stderr so far."""
    return self._err.read_text()

  def reaches(self, moment, seconds=400):
    """Waits until `moment(workdir)` is true, and it still runs."""
    give_up = time.monotonic() + seconds
    while not moment(self.workdir):
      assert self.process.poll() is None, self.errors()[-3000:]
      assert time.monotonic() < give_up
      time.sleep(0.001)

  def killed(self):
    self.process.send_signal(signal.SIGKILL)
    self.ended(-signal.SIGKILL)


@pytest.fixture(autouse=True)
def none_left():
  """No process outlives its test."""
  yield
  while Job.begun:
    job = Job.begun.pop()
    job.process.kill()
    job.process.wait()


def command(workdir, **changes):
  flags = small_run.arguments(**changes)
  flags += [f'--workdir={workdir}']
  return [sys.executable, '-m', 'adrpo_jax.main', *flags]


def start(workdir, devices=1, **changes):
  return Job(command(workdir, **changes), workdir, devices)


def lines(count, file='metrics.jsonl'):
  """The moment from which a file has so many lines."""

  def reached(workdir):
    path = workdir / file
    return path.exists() and path.read_bytes().count(b'\n') >= count

  return reached


def begun(step):
  """The moment from which a checkpoint is being written."""
  return lambda workdir: any(workdir.glob(f'checkpoints/{step:08d}*'))


def sealed(step):
  """The moment from which a checkpoint is whole."""
  return lambda workdir: any(
    workdir.glob(f'checkpoints/{step:08d}/manifest.json')
  )


def later(moment, seconds):
  """`seconds` after the moment."""
  since = []

  def reached(workdir):
    if not since and moment(workdir):
      since.append(time.monotonic())
    return bool(since) and time.monotonic() >= since[0] + seconds

  return reached


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
  """name -> workdir of a variant that ran through, once."""
  folder = tmp_path_factory.mktemp('uninterrupted')

  def run(name):
    if not (folder / name).exists():
      start(folder / name, **VARIANTS[name]).ended()
    return folder / name

  return run


def arrays(workdir):
  """The arrays of the newest checkpoint by name, on the host."""
  with Checkpoints(workdir / 'checkpoints') as checkpoints:
    newest = workdir / 'checkpoints' / f'{checkpoints.steps()[-1]:08d}'
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
      stored = reader.metadata(newest).item_metadata.tree['arrays']
    wanted = {
      name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
      for name, leaf in stored.items()
    }
    return checkpoints.restore(wanted).state


def untimed(path):
  """The records of a .jsonl file, without what depends on the clock."""
  return [
    {
      name: value
      for name, value in record.items()
      if not (name.startswith('seconds') or name.endswith('per_second'))
    }
    for record in small_run.records(path)
  ]


def summary_of(workdir):
  return json.loads((workdir / 'summary.json').read_text())


def first_step(err):
  """The first step that a process has told of on stderr, from 1."""
  return int(re.search(r'^step (\d+)/', err, re.MULTILINE)[1])


def assert_same_bits(workdir, expected):
  """Two finished runs have the same state and have told the same."""
  state, wanted = arrays(workdir), arrays(expected)
  assert state.keys() == wanted.keys()
  for name, leaf in wanted.items():
    np.testing.assert_array_equal(state[name], leaf, err_msg=name)
  told = untimed(workdir / 'metrics.jsonl')
  assert [record['step'] for record in told] == list(range(STEPS))
  assert told == untimed(expected / 'metrics.jsonl')
  evaluations = small_run.records(workdir / 'evaluations.jsonl')
  assert [record['step'] for record in evaluations] == [0, 3, STEPS]
  assert evaluations == small_run.records(expected / 'evaluations.jsonl')
  summary, wanted = summary_of(workdir), summary_of(expected)
  for name in ('steps', 'base', 'final', 'beta'):
    assert summary[name] == wanted[name], name
  drawn, wanted = (
    np.load(w / 'samples' / 'final.npz') for w in (workdir, expected)
  )
  for name in wanted.files:
    np.testing.assert_array_equal(drawn[name], wanted[name], err_msg=name)


def assert_same_to_rounding(workdir, expected):
  """‖a − b‖/‖b‖ ≤ 1e-5 for each parameter; losses and rewards within 1e-5."""
  state, wanted = arrays(workdir), arrays(expected)
  assert state.keys() == wanted.keys()
  base = base_models.load(small_run.base_folder()).params['transformer']
  gaps, changes = [], []
  for name, start in leaf_names({'params': base}).items():
    gaps.append(np.linalg.norm(state[name] - wanted[name]))
    changes.append(np.linalg.norm(wanted[name] - start))
    assert gaps[-1] <= ROUNDING * np.linalg.norm(wanted[name]), name
  # What was learnt is the same, not only what was there before.
  assert np.linalg.norm(gaps) <= 1e-2 * np.linalg.norm(changes)
  told, wanted = (untimed(w / 'metrics.jsonl') for w in (workdir, expected))
  assert [r['step'] for r in told] == [r['step'] for r in wanted]
  for record, want in zip(told, wanted, strict=True):
    for name in ('loss', 'reward', 'beta_mean', 'beta_max'):
      assert record[name] == pytest.approx(want[name], abs=ROUNDING), name
  final, wanted = (summary_of(w)['final'] for w in (workdir, expected))
  for name in ('reward', 'success', 'diversity_pixel', 'divergence'):
    assert final[name] == pytest.approx(wanted[name], abs=1e-4), name


RANDOM = np.random.default_rng(0)
MOMENTS = {
  'adrpo': [
    later(lambda workdir: True, RANDOM.uniform(0.5, 3)),  # starting
    lines(1),  # before the first checkpoint is whole
    lines(2, 'evaluations.jsonl'),  # after the one before step 3
    sealed(STEPS),  # before the last evaluation
  ],
  'language': [later(begun(4), RANDOM.uniform(0, 0.2))],  # while it is written
  'audio': [lines(STEPS)],  # before the last checkpoint
}


@pytest.mark.parametrize('name', MOMENTS)
def test_killed_at_any_moment_it_ends_in_the_same_bits(
  uninterrupted, tmp_path, name
):
  workdir = tmp_path / 'run'
  for moment in MOMENTS[name]:
    job = start(workdir, **VARIANTS[name])
    job.reaches(moment)
    job.killed()
    assert not (workdir / 'summary.json').exists()
  start(workdir, **VARIANTS[name]).ended()
  assert_same_bits(workdir, uninterrupted(name))


def test_told_to_stop_while_it_starts_it_ends_at_once(tmp_path):
  workdir = tmp_path / 'run'
  job = start(workdir)
  job.reaches(lambda workdir: (workdir / '.lock').exists())
  job.process.send_signal(signal.SIGINT)
  _, err = job.ended(75)
  assert err.splitlines()[-1].startswith('Stopped. To go on: ')
  assert 'Traceback' not in err
  assert not (workdir / 'metrics.jsonl').exists()


def shortened(content):
  return content[:-100]


def with_a_byte_changed(content):
  middle = len(content) // 2
  changed = bytes([content[middle] ^ 1])
  return content[:middle] + changed + content[middle + 1 :]


def damage(folder, change):
  """Changes the largest file of a checkpoint; returns its name."""
  files = (file for file in folder.rglob('*') if file.is_file())
  largest = max(files, key=lambda file: file.stat().st_size)
  largest.write_bytes(change(largest.read_bytes()))
  return largest.name


def test_damaged_checkpoints_are_named_and_the_one_before_is_taken(
  uninterrupted, tmp_path
):
  expected = uninterrupted('nft')
  workdir = shutil.copytree(expected, tmp_path / 'run')
  (workdir / 'summary.json').unlink()
  older, newest = (
    workdir / 'checkpoints' / f'{step:08d}' for step in (STEPS - 1, STEPS)
  )
  short, changed = damage(newest, shortened), damage(older, with_a_byte_changed)
  _, err = start(workdir, **VARIANTS['nft']).ended()
  first, second = (w for w in err.splitlines() if w.startswith('WARNING: the'))
  assert f'{newest} is damaged and skipped' in first
  assert short in first
  assert first.endswith(f'trying step {STEPS - 1}.')
  assert f'{older} is damaged and skipped' in second
  assert changed in second
  assert second.endswith(f'trying step {STEPS - 2}.')
  assert first_step(err) == STEPS - 1
  assert_same_bits(workdir, expected)
  for folder in (older, newest):  # Whole ones have taken their places.
    assert checkpoint.damage(folder) is None


def test_more_steps_are_stopped_and_go_on(uninterrupted, tmp_path):
  """A finished run takes more steps, saves when told to stop, and goes on.

  Only steps and what is kept may change; the rest is refused. The signal is
  SIGINT; test_stop_signals.py has both.
  """
  workdir = tmp_path / 'run'
  changes = {
    'eval__every': 0,
    'checkpoint__every': 2,
    'checkpoint__max_to_keep': 2,
  }
  start(workdir, **changes, steps=2).ended()
  status, _, err = small_run.call(
    *small_run.arguments(**VARIANTS['adrpo'], training__learning_rate=1.0),
    f'--workdir={workdir}',
  )
  assert status == 2
  assert 'training.learning_rate' in err
  assert summary_of(workdir)['steps'] == 2
  job = start(workdir, **VARIANTS['adrpo'], checkpoint__every=2 * STEPS)
  job.reaches(lines(4))
  job.process.send_signal(signal.SIGINT)
  out, err = job.ended(75)
  assert first_step(err) == 3
  with Checkpoints(workdir / 'checkpoints') as checkpoints:
    step = checkpoints.steps()[-1]
  assert 4 <= step < STEPS
  assert len(small_run.records(workdir / 'metrics.jsonl')) == step
  assert f'Stopped at step {step} and saved.' in out
  words = shlex.split(out[out.index('To go on: ') :].splitlines()[0])[3:]
  _, err = Job(words, workdir).ended()
  assert first_step(err) == step + 1
  assert_same_bits(workdir, uninterrupted('adrpo'))


def test_a_run_goes_on_with_another_number_of_devices(uninterrupted, tmp_path):
  expected = uninterrupted('adrpo')
  workdir = shutil.copytree(expected, tmp_path / 'run')
  (workdir / 'summary.json').unlink()
  for step in range(3, STEPS + 1):
    shutil.rmtree(workdir / 'checkpoints' / f'{step:08d}')
  changes = VARIANTS['adrpo'] | {'mesh__fsdp': 2}
  _, err = start(workdir, devices=8, **changes).ended()
  assert first_step(err) == 3
  assert summary_of(workdir)['device'] == 'cpu x8'
  assert summary_of(expected)['device'] == 'cpu x1'
  assert_same_to_rounding(workdir, expected)
