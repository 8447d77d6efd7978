"""The long form: python -m tests.faults --mutations=100000 --kills=1000.

It prints its progress, and writes what was tried and what was wrong as JSON.
Its exit status is 1 where anything was wrong.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import conftest  # noqa: E402, F401 (its flags of XLA, for all processes)


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
  told = {'command': ' '.join(['python -m tests.faults', *sys.argv[1:]])}
  parts = []
  began = time.monotonic()

  def show(line: str) -> None:
    print(f'{time.monotonic() - began:7.0f} s  {line}', flush=True)

  if flags.mutations:
    import mutation_run

    parts.append(mutation_run.run(flags.mutations, flags.seed, show))
    told['files'] = parts[-1]
  if flags.clients:
    import client_run

    parts.append(client_run.run(flags.clients, flags.seed, show))
    told['clients'] = parts[-1]
  if flags.kills:
    import kill_run

    names = tuple(flags.families.split(',')) if flags.families else ()
    with tempfile.TemporaryDirectory(prefix='faults_') as root:
      parts.append(
        kill_run.run(
          flags.kills,
          flags.seed,
          pathlib.Path(root),
          show,
          names or tuple(kill_run.FAMILIES),
        )
      )
    told['kills'] = parts[-1]
  told['seconds'] = round(time.monotonic() - began)
  found = sum(len(part['found']) for part in parts)
  if flags.out:
    pathlib.Path(flags.out).write_text(json.dumps(told, indent=1) + '\n')
  show(f'{found} things were wrong.')
  return 1 if found else 0


if __name__ == '__main__':
  sys.exit(main())
