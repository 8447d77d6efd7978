"""Many mutations over all readers, in child processes that may die."""

import collections
from collections.abc import Callable, Iterator
import json
import pathlib
import queue
import subprocess
import sys
import threading
from typing import Any

from readers import READERS

WORKER = pathlib.Path(__file__).with_name('worker.py')
CHUNK = 100  # mutations of a job
SILENT = 120.0  # seconds without an answer that end a child

Answer = dict[str, Any]


def shares(total: int) -> dict[str, int]:
  """Name of a reader -> its number of mutations; at least `total` in all."""
  scale = total / sum(row.share for row in READERS.values())
  return {name: int(row.share * scale) + 1 for name, row in READERS.items()}


def run(total: int, seed: int, show: Callable[[str], None]) -> Answer:
  """Tries the mutations -> counts by reader and kind, and what was wrong."""
  counts: dict[str, collections.Counter] = {}
  found: list[Answer] = []
  child = _Child()
  try:
    for name, wanted in shares(total).items():
      counts[name] = collections.Counter()
      at, end = 0, wanted
      while at < end:
        count = min(CHUNK, end - at)
        job = {'reader': name, 'seed': seed, 'first': at, 'count': count}
        last = at
        for answer in child.answers(job):
          last = answer.get('at', last)
          if 'found' in answer:
            found.append(answer)
            show(f'  {answer}')
          counts[name].update(answer.get('counts', {}))
        at += count
        if child.ended:
          found.append({'found': 'died', **job, 'number': last})
          counts[name]['died'] += 1
          show(f'  {found[-1]} {child.ended}')
          child, at = _Child(), last + 1
      show(f'{name}: {dict(counts[name])}')
  finally:
    child.end()
  return {
    'mutations': sum(shares(total).values()),
    'seed': seed,
    'readers': {name: dict(counted) for name, counted in counts.items()},
    'found': found,
  }


class _Child:
  """A worker; `ended` says why it takes no more jobs."""

  def __init__(self) -> None:
    self.ended = ''
    self._process = subprocess.Popen(
      [sys.executable, str(WORKER)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    self._lines: queue.SimpleQueue = queue.SimpleQueue()
    self._errors = collections.deque(maxlen=20)
    threading.Thread(target=self._listen, daemon=True).start()
    threading.Thread(target=self._overhear, daemon=True).start()

  def answers(self, job: Answer) -> Iterator[Answer]:
    """Gives a job and yields its answers, up to the last or to its death."""
    stdin = self._process.stdin
    assert stdin is not None
    stdin.write(json.dumps(job) + '\n')
    stdin.flush()
    while True:
      try:
        line = self._lines.get(timeout=SILENT)
      except queue.Empty:
        self.ended = f'silent for {SILENT:g} s'
        line = ''
      if not line:
        self.end()
        self.ended = self.ended or (
          f'status {self._process.returncode}: {"".join(self._errors)[-2000:]}'
        )
        return
      answer = json.loads(line)
      yield answer
      if 'done' in answer:
        return

  def end(self) -> None:
    """Ends the process."""
    self._process.kill()
    self._process.wait()

  def _listen(self) -> None:
    for line in self._process.stdout or ():
      self._lines.put(line)
    self._lines.put('')

  def _overhear(self) -> None:
    self._errors.extend(self._process.stderr or ())
