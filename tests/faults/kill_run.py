"""Commands that are killed at random moments, again and again, and go on.

What a command leaves at last has to be, to the bit, what it leaves when nobody
kills it. Half of the kills come at a random time, half just after a random
change of a file, which is where a kill can do harm.
"""

from collections.abc import Callable
import contextlib
import hashlib
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, NamedTuple
import zlib

import numpy as np
import small_run
from test_resume import arrays, untimed

PRETRAIN = f'--config={small_run.ROOT}/configs/pretrain.py:debug'
SHORT = {'steps': 4, 'eval__every': 2, 'checkpoint__max_to_keep': 4}
PATIENCE = 1800.0  # seconds that a command may take
POLL = 0.005
EARLY = 0.7  # of the time and of the changes of a whole command


class Family(NamedTuple):
  """A kind of command that may be killed.

  command: (folder) -> its words
  prepare: (folder) -> None, what has to be there before
  finals:  (folder) -> what it leaves, by name, without times
  share:   of the kills; commands that take seconds have more of them
  """

  command: Callable[[pathlib.Path], list[str]]
  prepare: Callable[[pathlib.Path], Any]
  finals: Callable[[pathlib.Path], dict[str, Any]]
  share: float


def training(file: str, **changes: Any) -> Callable[[pathlib.Path], list[str]]:
  """Returns folder -> the command of a small run in it."""
  flags = small_run.arguments(file=file, **SHORT, **changes)
  return lambda folder: [
    *(sys.executable, '-m', 'adrpo_jax.main'),
    *(*flags, f'--workdir={folder}'),
  ]


def comparing(folder: pathlib.Path) -> list[str]:
  """The command that compares two methods."""
  flags = small_run.arguments(**SHORT)
  return [
    *(sys.executable, '-m', 'adrpo_jax.compare', *flags),
    *('--methods=adrpo,nft', '--seeds=1', f'--workdir={folder}'),
  ]


def pretraining(folder: pathlib.Path) -> list[str]:
  """The command that makes a base."""
  return [
    *(sys.executable, '-m', 'adrpo_jax.main', PRETRAIN),
    *('--mode=pretrain', f'--workdir={folder}'),
  ]


def finals_of_run(folder: pathlib.Path) -> dict[str, Any]:
  """The state, all records and the last samples of a finished run."""
  summary = json.loads((folder / 'summary.json').read_text())
  samples = np.load(folder / 'samples' / 'final.npz')
  assert (folder / 'report.html').read_text().rstrip().endswith('</html>')
  return {
    **{f'state {k}': digest(v) for k, v in arrays(folder).items()},
    **{f'samples {name}': digest(samples[name]) for name in samples.files},
    **{name: summary[name] for name in ('steps', 'base', 'final')},
    'metrics': untimed(folder / 'metrics.jsonl'),
    'evaluations': untimed(folder / 'evaluations.jsonl'),
  }


def finals_of_comparison(folder: pathlib.Path) -> dict[str, Any]:
  """Those of all runs."""
  return {
    str(run.relative_to(folder)): finals_of_run(run)
    for run in sorted(folder.glob('*/seed_*'))
  }


def finals_of_weights(name: str) -> Callable[[pathlib.Path], dict[str, Any]]:
  """Returns folder -> the content of all weights in one of its folders."""

  def finals(folder: pathlib.Path) -> dict[str, Any]:
    files = sorted((folder / name).rglob('*.safetensors'))
    assert files
    return {
      str(file.relative_to(folder)): hashlib.sha256(
        file.read_bytes()
      ).hexdigest()
      for file in files
    }

  return finals


def digest(array: Any) -> str:
  """Tells arrays of other bits, shapes or types apart."""
  array = np.asarray(array)
  told = f'{array.dtype} {array.shape} '.encode() + array.tobytes()
  return hashlib.sha256(told).hexdigest()


def trained(folder: pathlib.Path) -> None:
  """Trains a run to its end, for what comes after."""
  _ended(training('llm')(folder), folder)


FAMILIES = {
  't2i': Family(training('t2i'), lambda folder: None, finals_of_run, 1.5),
  'nft': Family(
    training('t2i', method__name='nft', training__ema_decay=0.9),
    lambda folder: None,
    finals_of_run,
    1.5,
  ),
  'llm': Family(training('llm'), lambda folder: None, finals_of_run, 3),
  'audio': Family(training('audio'), lambda folder: None, finals_of_run, 1.5),
  'compare': Family(comparing, lambda folder: None, finals_of_comparison, 0.5),
  'pretrain': Family(
    pretraining, lambda folder: None, finals_of_weights('base'), 0.5
  ),
  'export': Family(
    lambda folder: [*training('llm')(folder), '--mode=export'],
    trained,
    finals_of_weights('export'),
    8,
  ),
  # The report alone is missing: the command writes it.
  'report': Family(
    training('llm'),
    lambda folder: (trained(folder), (folder / 'report.html').unlink()),
    finals_of_run,
    8,
  ),
}


class Whole(NamedTuple):
  """A command that nobody killed.

  ready:    the folder before it
  expected: what it left, see `Family.finals`
  seconds:  that it took
  changes:  of its folder
  """

  ready: pathlib.Path
  expected: dict[str, Any]
  seconds: float
  changes: int


def run(
  kills: int,
  seed: int,
  root: pathlib.Path,
  show: Callable[[str], None],
  names: tuple[str, ...] = tuple(FAMILIES),
  told: dict[str, Any] | None = None,
  keep: Callable[[dict[str, Any]], None] = lambda told: None,
) -> dict[str, Any]:
  """Kills each family its share of times -> counts, and differences.

  Args:
    kills: in all.
    seed: of when they come.
    root: a folder for the commands.
    show: prints a line.
    names: of families.
    told: what an earlier call has kept; this one goes on from it.
    keep: called with what has been told so far, after each command.
  """
  told = told or {'kills': 0, 'seed': seed, 'families': {}, 'found': []}
  scale = kills / sum(FAMILIES[name].share for name in names)
  for name in names:
    wanted = math.ceil(FAMILIES[name].share * scale)
    counts = told['families'].setdefault(name, {'kills': 0, 'lives': 0})
    if counts['kills'] >= wanted:
      continue
    began, whole = time.monotonic(), made(name, root / name)
    while counts['kills'] < wanted:
      draw = [seed, zlib.crc32(name.encode()), counts['lives']]
      rng = np.random.default_rng(draw)
      life = lived(name, whole, rng, wanted - counts['kills'])
      for count in (counts, told):
        count['kills'] += life['kills']
      counts['lives'] += 1
      if life['differing']:
        told['found'].append({'family': name, 'draw': draw, **life})
      keep(told)
      show(f'{name}: {counts}, {time.monotonic() - began:.0f} s, {life}')
  return told


def made(name: str, root: pathlib.Path) -> Whole:
  """Runs the command of a family to its end."""
  family = FAMILIES[name]
  ready, folder = root / 'ready' / 'run', root / 'whole' / 'run'
  ready.parent.mkdir(parents=True)
  family.prepare(ready)
  folder.parent.mkdir()
  _copied(ready, folder)
  seconds, changes = _ended(family.command(folder), folder)
  return Whole(ready, family.finals(folder), seconds, changes)


def lived(
  name: str, whole: Whole, rng: np.random.Generator, most: int
) -> dict[str, Any]:
  """Kills a command up to eight times -> what became of it."""
  family, folder = FAMILIES[name], whole.ready.parents[1] / 'life' / 'run'
  shutil.rmtree(folder.parent, ignore_errors=True)
  folder.parent.mkdir()
  _copied(whole.ready, folder)
  landed = sum(  # Some commands end before their kill.
    _killed(family.command(folder), folder, rng, whole.seconds, whole.changes)
    for _ in range(min(int(rng.integers(1, 9)), most))
  )
  try:
    _ended(family.command(folder), folder)
    left = family.finals(folder)
    differing = sorted(
      key
      for key in left.keys() | whole.expected.keys()
      if left.get(key) != whole.expected.get(key)
    )
  except Exception as error:
    differing = [f'{type(error).__name__}: {str(error)[-1500:]}']
  return {'kills': landed, 'differing': differing}


def _copied(ready: pathlib.Path, folder: pathlib.Path) -> None:
  if ready.exists():
    shutil.copytree(ready, folder)


def _started(command: list[str], folder: pathlib.Path) -> subprocess.Popen:
  with folder.with_name('err.txt').open('w') as err:
    return subprocess.Popen(
      command,
      stdout=subprocess.DEVNULL,
      stderr=err,
      env=small_run.process_environment(JAX_NUM_CPU_DEVICES='1'),
      start_new_session=True,
    )


def _ended(command: list[str], folder: pathlib.Path) -> tuple[float, int]:
  """Lets a command end -> its seconds, and how often its folder changed."""
  began, changes, last = time.monotonic(), 0, _state(folder)
  process = _started(command, folder)
  try:
    while process.poll() is None:
      if time.monotonic() - began > PATIENCE:
        raise TimeoutError(f'{command} takes more than {PATIENCE:g} s')
      now = _state(folder)
      changes, last = changes + (now != last), now
      time.sleep(POLL)
  finally:
    _kill(process)
  if process.returncode:
    said = folder.with_name('err.txt').read_text()
    raise RuntimeError(f'status {process.returncode}: {said[-1500:]}')
  return time.monotonic() - began, changes


def _killed(
  command: list[str],
  folder: pathlib.Path,
  rng: np.random.Generator,
  seconds: float,
  changes: int,
) -> bool:
  """Kills a command at a random moment; False if it ended before."""
  # A command that goes on ends sooner than the first one did.
  at = rng.uniform(0, EARLY * seconds)
  after = rng.integers(1, int(EARLY * changes) + 2)
  by_change, pause = rng.random() < 0.5, rng.exponential(0.02)
  began, seen, last = time.monotonic(), 0, _state(folder)
  process = _started(command, folder)
  try:
    while process.poll() is None:
      now = _state(folder)
      seen, last = seen + (now != last), now
      if (
        seen >= after if by_change else time.monotonic() - began >= at
      ) or time.monotonic() - began > PATIENCE:
        time.sleep(pause)
        return process.poll() is None
      time.sleep(POLL)
    return False
  finally:
    _kill(process)


def _kill(process: subprocess.Popen) -> None:
  """Kills a command with all that it started."""
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGKILL)
  process.wait()


def _state(folder: pathlib.Path) -> list[tuple[str, int, int]]:
  """Name, size and time of every file below a folder."""
  seen = []
  for place, _, names in os.walk(folder):
    for name in names:
      path = os.path.join(place, name)
      try:
        told = os.stat(path)
      except OSError:
        continue
      seen.append((path, told.st_size, told.st_mtime_ns))
  return seen
