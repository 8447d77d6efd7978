"""The child process of `child_process`: a program that imports no package.

  python child_loop.py PROGRAM SECONDS

PROGRAM is a Python file with a function `loaded`, which loads a library, raises
an error if that fails, and returns a function (*question) -> reply. The process
first writes "ready" or the error. Then it answers every line with a question by
a line with {"reply": ...}, or null if the function raises. All lines are JSON.
A reply that needs more than SECONDS of CPU time ends the process; the CPU time
counts, so that a busy host makes no difference.

Some libraries evaluate the text of a model as Python, for example by `eval`.
Therefore a question cannot change files, start programs, use the network or
sleep. This protects against accidents, not against an attacker.
"""

from collections.abc import Callable
import contextlib
import importlib.util
import io
import json
import logging
import os
import signal
import sys
from typing import Any

MEMORY = 4 * 2**30  # bytes that the process may use
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
READS = ('os.listdir', 'os.scandir', 'os.walk', 'os.fwalk')
EFFECTS = ('os.', 'subprocess.', 'socket.', 'shutil.', 'ctypes.', 'time.sleep')


def main(program: str, seconds: float) -> None:
  """Answers questions until the standard input ends."""
  replies, sys.stdout = sys.stdout, sys.stderr  # A library may print
  questions, sys.stdin = sys.stdin, io.StringIO()  # or read.

  def write(value: object) -> None:
    print(json.dumps(value), file=replies, flush=True)

  logging.disable()
  try:
    answer = load_program(program)
  except Exception as error:  # A library may raise anything; it is reported.
    write(f'{type(error).__name__}: {error}')
    return
  limit_memory()
  sys.addaudithook(refuse_effects)
  write('ready')
  for line in questions:
    # No handler: the default of the signal ends the process, even in C code.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
      reply = answer(*json.loads(line))
    except Exception:  # A question that breaks the library has no reply.
      reply = None
    signal.setitimer(signal.ITIMER_PROF, 0)
    write({'reply': reply})


def load_program(program: str) -> Callable[..., Any]:
  """Returns the result of the function `loaded` of a Python file."""
  spec = importlib.util.spec_from_file_location('program', program)
  assert spec
  assert spec.loader
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.loaded()


def limit_memory() -> None:
  """Limits the memory of this process to MEMORY, if the system supports it."""
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def refuse_effects(event: str, arguments: tuple[Any, ...]) -> None:
  """Raises PermissionError for side effects. This is an audit hook."""
  writes = event == 'open' and bool((arguments[2] or 0) & WRITING)
  if writes or (event.startswith(EFFECTS) and event not in READS):
    raise PermissionError(f'A question must not cause {event}.')


if __name__ == '__main__':
  main(sys.argv[1], float(sys.argv[2]))
