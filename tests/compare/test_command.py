"""python -m adrpo_jax.compare: which runs it starts, and with what."""

import errno
import shutil
import signal
import subprocess
import sys
import time

from absl.testing import flagsaver
import pytest
import small_run

from adrpo_jax.compare import __main__ as compare
from adrpo_jax.compare.child_runs import ChildRuns
from adrpo_jax.system.records import write_json


@pytest.fixture
def started(monkeypatch):
  """Arguments of the runs that would have been started."""
  commands = []
  monkeypatch.setattr(
    ChildRuns, 'run', lambda _, words: commands.append(words) or 0
  )
  return commands


def called(workdir, *extra, file='t2i', methods='adrpo,raft'):
  """Exit status of a comparison of two methods over two seeds."""
  saved = flagsaver.save_flag_values()
  given = [
    'compare',
    f'--config={small_run.ROOT / "configs" / file}.py:compare',
    f'--methods={methods}',
    '--seeds=2',
    f'--workdir={workdir}',
    *extra,
  ]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, 'argv', given)  # where config flags look
    try:
      return compare.main(given)
    finally:
      flagsaver.restore_flag_values(saved)


def test_every_method_and_seed_is_a_run_of_its_own(tmp_path, started):
  assert called(tmp_path, '--config.steps=3') == 0
  made = [next(a for a in c if 'workdir' in a).split('=')[1] for c in started]
  assert made == [
    str(tmp_path / name / f'seed_{seed}')
    for seed in (0, 1)
    for name in ('adrpo', 'raft')
  ]
  for command in started:
    assert '--config.steps=3' in command
    names = [a for a in command if a.startswith('--config.method.name=')]
    assert names[0].removeprefix('--config.method.name=') in ('adrpo', 'raft')
    assert len(names) == 1
    assert command[-1].removeprefix('--config.seed=') in ('0', '1')


def test_what_a_method_changes_comes_before_what_is_asked_for(
  tmp_path, started
):
  own = '--config.training.learning_rate'
  assert called(tmp_path, f'{own}=0.5') == 0
  raft = next(c for c in started if '--config.method.name=raft' in c)
  changed = [a for a in raft if a.startswith(own)]
  assert len(changed) == 2
  assert changed[-1] == f'{own}=0.5'
  adrpo = next(c for c in started if '--config.method.name=adrpo' in c)
  assert sum(a.startswith(own) for a in adrpo) == 1


def test_a_variant_is_a_run_of_the_method_that_it_names(tmp_path, started):
  assert called(tmp_path, file='llm', methods='grpo_without_kl') == 0
  assert [c[0] for c in started] == [
    f'--workdir={tmp_path}/grpo_without_kl/seed_{seed}' for seed in (0, 1)
  ]
  for command in started:
    assert '--config.method.name=grpo' in command
    assert '--config.method.grpo.beta=0.0' in command


def test_all_methods_and_variants_of_a_config_are_compared(tmp_path, started):
  assert called(tmp_path, '--seeds=1', file='llm', methods='') == 0
  names = [c[0].split('/')[-2] for c in started]
  assert names == [
    *('adrpo', 'dpo', 'grpo', 'rloo'),
    *('adrpo_paper', 'grpo_without_kl'),
  ]


def test_finished_runs_are_skipped(tmp_path, started, monkeypatch):
  done = tmp_path / 'adrpo' / 'seed_1'
  done.mkdir(parents=True)
  write_json(done / 'summary.json', {'steps': 3, 'base': {}, 'final': {}})
  (done / 'report.html').write_text('')
  monkeypatch.setattr(compare, 'write_comparison', lambda workdir: workdir)
  assert called(tmp_path) == 0
  assert len(started) == 3
  assert not any(f'--workdir={done}' in command for command in started)


@pytest.mark.parametrize('content', ['', '{}', '{"steps": 3, "base"'])
def test_a_damaged_summary_is_named(tmp_path, started, capsys, content):
  done = tmp_path / 'adrpo' / 'seed_0'
  done.mkdir(parents=True)
  (done / 'summary.json').write_text(content)
  assert called(tmp_path) == 2
  told = capsys.readouterr().err
  assert f'error: Expected a whole record in {done}/summary.json' in told
  assert 'Remove it' in told
  assert started == []


def test_a_run_that_fails_is_named(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(ChildRuns, 'run', lambda *_: 3)
  assert called(tmp_path) == 1
  assert 'raft, seed 1 (exit status 3)' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('flag', 'message'),
  [('--methods=adrpo,raf', "'raft'"), ('--seeds=0', 'at least 1, got 0')],
)
def test_bad_input_is_named(tmp_path, started, capsys, flag, message):
  assert called(tmp_path, flag) == 2
  assert message in capsys.readouterr().err
  assert not started


def test_a_stopped_run_is_unfinished_and_has_a_status_of_its_own(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(ChildRuns, 'run', lambda *_: 75)
  assert called(tmp_path) == 75
  said = capsys.readouterr().err
  assert 'runs were stopped: adrpo, seed 0; raft, seed 0; adrpo, seed 1' in said
  assert 'runs failed' not in said


@pytest.mark.slow
def test_what_a_finished_run_and_the_comparison_lack_is_written(
  tmp_path, started, compared
):
  workdir = shutil.copytree(compared, tmp_path / 'comparison')
  pages = [*workdir.glob('*/seed_*/report.html'), *workdir.glob('*.html')]
  for page in pages:
    page.unlink()
  assert called(workdir, '--seeds=1') == 0
  assert started == []
  written = sorted(workdir.rglob('*.html'))
  assert [str(path.relative_to(workdir)) for path in written] == [
    'adrpo/seed_0/report.html',
    'comparison.html',
    'raft/seed_0/report.html',
  ]


def test_a_full_disk_is_one_line(tmp_path, started, monkeypatch, capsys):
  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(compare, 'write_comparison', full)
  monkeypatch.setattr(compare, '_is_finished', lambda folder: bool(started))
  assert called(tmp_path) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('error: The disk is full.')


# A stand-in for adrpo_jax.main, which says that it was told to stop.
CHILD = """
import pathlib, sys, time
from adrpo_jax.system.stop_signals import end_at_once, stop_signals
place = pathlib.Path(sys.argv[1])
def stop(count):
  (place / 'stopped').touch()
  end_at_once('stopped')
with stop_signals(stop):
  (place / 'started').touch()
  time.sleep(60)
"""
PARENT = """
import sys
from adrpo_jax.compare import child_runs
from adrpo_jax.system.stop_signals import stop_signals
sys.executable = sys.argv[1]
runs = child_runs.ChildRuns()
with stop_signals(runs.stop):
  status = runs.run([])
sys.exit(status if runs.stopped else 1)
"""


def exists(path):
  """Waits for a file."""
  give_up = time.monotonic() + 200
  while not path.exists() and time.monotonic() < give_up:
    time.sleep(0.01)
  return path.exists()


@pytest.mark.slow
@pytest.mark.parametrize('number', ['SIGTERM', 'SIGINT', 'SIGKILL'])
def test_a_comparison_takes_its_run_with_it(tmp_path, number):
  python = tmp_path / 'python'  # The run is `python -m adrpo_jax.main`.
  (tmp_path / 'child.py').write_text(CHILD)
  python.write_text(
    f'#!/bin/sh\nexec {sys.executable} {tmp_path}/child.py {tmp_path}\n'
  )
  python.chmod(0o755)
  parent = subprocess.Popen(
    [sys.executable, '-c', PARENT, str(python)],
    env=small_run.process_environment(),
    stderr=subprocess.DEVNULL,
  )
  assert exists(tmp_path / 'started')
  parent.send_signal(getattr(signal, number))
  assert exists(tmp_path / 'stopped')
  status = parent.wait(200)
  assert status == (-signal.SIGKILL if number == 'SIGKILL' else 75)
