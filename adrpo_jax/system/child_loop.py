"""The other side of `child_process`: a program that imports no package.

  python child_loop.py PROGRAM SECONDS

PROGRAM is a Python file with a function `loaded`, which loads a library, raises
where it does not work, and returns a function (*question) -> reply. This says
"ready", or what is wrong; then to every line with a question a line with
{"reply": ...}, null where the function raises. All of it is JSON. A reply that
computes longer than SECONDS ends the process: its own time counts, so that a
busy host changes nothing.

Libraries evaluate what a model writes as Python, some by `eval`. So a question
cannot change files, start programs, use a network or sleep. That is a guard
against accidents, not against an attacker.
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

MEMORY = 4 * 2**30  # bytes that a reply may need
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
READS = ('os.listdir', 'os.scandir', 'os.walk', 'os.fwalk')
EFFECTS = ('os.', 'subprocess.', 'socket.', 'shutil.', 'ctypes.', 'time.sleep')


def main(program: str, seconds: float) -> None:
  """Replies until the standard input ends."""
  replies, sys.stdout = sys.stdout, sys.stderr  # A library may print,
  questions, sys.stdin = sys.stdin, io.StringIO()  # and may read.

  def say(what: object) -> None:
    print(json.dumps(what), file=replies, flush=True)

  logging.disable()
  try:
    replied = loaded(program)
  except Exception as error:  # Any: it is not our code, and is told.
    say(f'{type(error).__name__}: {error}')
    return
  limit_memory()
  sys.addaudithook(refuse_effects)
  say('ready')
  for line in questions:
    # The signal's usual effect is meant: the end, in the midst of C code too.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
      reply = replied(*json.loads(line))
    except Exception:  # Any: what breaks the library has no reply.
      reply = None
    signal.setitimer(signal.ITIMER_PROF, 0)
    say({'reply': reply})


def loaded(program: str) -> Callable[..., Any]:
  """What the function `loaded` of a file returns."""
  spec = importlib.util.spec_from_file_location('program', program)
  assert spec
  assert spec.loader
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.loaded()


def limit_memory() -> None:
  """Makes MEMORY the most that this process gets, where systems know limits."""
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def refuse_effects(event: str, given: tuple[Any, ...]) -> None:
  """An audit hook: raises PermissionError for what is not computing."""
  writes = event == 'open' and bool((given[2] or 0) & WRITING)
  if writes or (event.startswith(EFFECTS) and event not in READS):
    raise PermissionError(f'{event} is not for a question.')


if __name__ == '__main__':
  main(sys.argv[1], float(sys.argv[2]))
