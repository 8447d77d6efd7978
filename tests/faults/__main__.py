"""The long form: python -m tests.faults --mutations=100000 --kills=1000.

It prints its progress, and writes what was tried and what was wrong as JSON.
The same command goes on where it was stopped. Its exit status is 1 where
anything was wrong.
"""

import argparse
from functools import partial
import json
import pathlib
import sys
import tempfile
import time
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import conftest  # noqa: E402, F401 (its flags of XLA, for all processes)

from adrpo_jax.system.files import replacing  # noqa: E402


def main() -> int:
  """Runs all parts -> exit status."""
  parser = argparse.ArgumentParser(prog='python -m tests.faults')
  add = parser.add_argument
  add('--mutations', type=int, default=100_000, help='of files; 0 for none')
  add('--kills', type=int, default=1000, help='of commands; 0 for none')
  add('--clients', type=int, default=2000, help='of a server; 0 for none')
  add('--seed', type=int, default=0)
  add('--families', default='', help='to kill, joined by commas')
  add('--out', default='', help='the file of JSON')
  flags = parser.parse_args()
  command = ' '.join(['python -m tests.faults', *sys.argv[1:]])
  out, began = pathlib.Path(flags.out), time.monotonic()
  told = {'command': command, 'seconds': 0}
  if flags.out and out.exists():
    told = json.loads(out.read_text())
    if told['command'] != command:
      parser.error(f'{out} is of another command, {told["command"]!r}')
  before = told['seconds']

  def show(line: str) -> None:
    print(f'{time.monotonic() - began:7.0f} s  {line}', flush=True)

  def keep(part: str, record: dict[str, Any]) -> None:
    told[part] = record
    told['seconds'] = round(before + time.monotonic() - began)
    if flags.out:
      with replacing(out) as new:
        new.write_text(json.dumps(told, indent=1) + '\n')

  if flags.mutations and 'files' not in told:
    import mutation_run

    keep('files', mutation_run.run(flags.mutations, flags.seed, show))
  if flags.clients and 'clients' not in told:
    import client_run

    keep('clients', client_run.run(flags.clients, flags.seed, show))
  if flags.kills:
    import kill_run

    names = tuple(flags.families.split(',')) if flags.families else ()
    with tempfile.TemporaryDirectory(prefix='faults_') as root:
      kill_run.run(
        flags.kills,
        flags.seed,
        pathlib.Path(root),
        show,
        names or tuple(kill_run.FAMILIES),
        told.get('kills'),
        partial(keep, 'kills'),
      )
  parts = [told[p] for p in ('files', 'clients', 'kills') if p in told]
  found = sum(len(part['found']) for part in parts)
  show(f'{found} things were wrong.')
  return 1 if found else 0


if __name__ == '__main__':
  sys.exit(main())
