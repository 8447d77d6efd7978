"""A process that damages files and reads them, within limits.

  python worker.py

It takes jobs from stdin, {"reader", "seed", "first", "count"}, and answers in
lines of JSON: the number of a mutation before it is tried, and what was wrong.
Its parent ends it where it hangs; the last number then says by what.
"""

import collections
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import conftest  # noqa: E402, F401 (its flags of XLA)
from mutations import mutate  # noqa: E402
import numpy as np  # noqa: E402
from readers import READERS  # noqa: E402

SECONDS = 20  # of a processor, for one reading
BYTES = 4 * 2**30  # of memory beside what the process had at its begin
SAID = 300
MEMORY = '/dev/shm' if pathlib.Path('/dev/shm').is_dir() else None


class TooSlow(BaseException):
  """A reading has taken its time; no reader catches it."""


def main() -> None:
  """Works until stdin ends."""
  signal.signal(signal.SIGPROF, _too_slow)
  _limit_memory()
  # Libraries that are not written in Python print past sys.stdout.
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  for line in sys.stdin:
    job = json.loads(line)
    with tempfile.TemporaryDirectory(prefix='faults_', dir=MEMORY) as root:
      for answer in tried(pathlib.Path(root), **job):
        answers.write(json.dumps(answer) + '\n')
        answers.flush()


def tried(root: pathlib.Path, reader: str, seed: int, first: int, count: int):
  """Yields the answers of a job."""
  row = READERS[reader]
  made = root / 'whole'
  made.mkdir()
  row.make(made)
  folder = pathlib.Path(shutil.copytree(made, root / 'read'))
  whole = row.read(folder)
  assert row.right(whole, whole, folder), reader
  counts: collections.Counter[str] = collections.Counter()
  for number in range(first, first + count):
    yield {'at': number}
    shutil.rmtree(folder)
    shutil.copytree(made, folder)
    rng = np.random.default_rng([seed, zlib.crc32(reader.encode()), number])
    damaged = damage(folder, rng)
    kind, said = outcome(row, whole, folder)
    counts[kind] += 1
    if kind in WRONG:
      yield {'found': kind, 'reader': reader, 'seed': seed, 'number': number,
             'file': damaged, 'said': said[:SAID]}  # fmt: skip
  yield {'done': reader, 'counts': counts}


WRONG = ('untyped error', 'wrong value', 'too slow', 'too large')


def damage(folder: pathlib.Path, rng: np.random.Generator) -> str:
  """Damages one file of a folder -> its name and what became of it."""
  files = sorted(path for path in folder.rglob('*') if path.is_file())
  file = files[rng.integers(len(files))]
  name = str(file.relative_to(folder))
  match rng.integers(60):
    case 0:
      file.unlink()
      return f'{name} removed'
    case 1 if len(files) > 1:
      other = files[rng.integers(len(files))]
      file.write_bytes(other.read_bytes())
      return f'{name} is {other.relative_to(folder)}'
  file.write_bytes(mutate(file.read_bytes(), file.name, rng))
  digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
  return f'{name} {digest}'


def outcome(row, whole, folder: pathlib.Path) -> tuple[str, str]:
  """Reads damaged files -> a kind of outcome, and more about it."""
  signal.setitimer(signal.ITIMER_PROF, SECONDS)
  try:
    value = row.read(folder)
  except row.typed as error:
    return 'typed error', str(error)
  except TooSlow:
    return 'too slow', ''
  except MemoryError as error:
    return 'too large', _last(error)
  except Exception as error:
    return 'untyped error', _last(error)
  finally:
    signal.setitimer(signal.ITIMER_PROF, 0)
  try:
    right = row.right(value, whole, folder)
  except Exception as error:
    return 'wrong value', f'an oracle finds none: {_last(error)}: {value!r}'
  return ('right value', '') if right else ('wrong value', repr(value))


def _last(error: BaseException) -> str:
  frames = traceback.extract_tb(error.__traceback__)
  ours = [f for f in frames if 'adrpo_jax' in f.filename] or frames[-1:]
  place = pathlib.Path(ours[-1].filename).name
  return f'{type(error).__name__} at {place}:{ours[-1].lineno}: {error}'


def _limit_memory() -> None:
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
  used = pages * resource.getpagesize()
  resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))


def _too_slow(*_: object) -> None:
  raise TooSlow


if __name__ == '__main__':
  main()
