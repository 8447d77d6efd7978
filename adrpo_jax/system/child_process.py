"""Questions to a library in a process of its own, which may have to be ended.

What reads the answers of a model may compute for hours on ten characters, or
fill the memory, and no thread can stop it. So it runs in a process that ends
itself when its time is over; the next one starts anew.
"""

from collections.abc import Callable
import contextlib
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from adrpo_jax.errors import InputError

LOOP = pathlib.Path(__file__).with_name('child_loop.py')


def asker(
  program: pathlib.Path,
  seconds: float,
  refusal: Callable[[str], InputError],
) -> Callable[..., Any]:
  """A function (*question) -> what the program replies, both of JSON's kinds.

  None where there is no reply: it took too long, raised, or broke the process.
  Several threads may ask, and each has a process to itself while it does.

  Args:
    program: a file with a function `loaded`, see `child_loop`.
    seconds: of computing that a reply may take; waiting does not count.
    refusal: the error for a program that cannot be loaded, of what it says.

  Raises:
    InputError: the number of seconds, or `refusal`.
  """
  if not 0 < seconds < float('inf'):
    raise InputError(f'Expected a number of seconds above 0, got {seconds}.')
  idle = [_child(program, seconds, refusal)]

  def ask(*question: Any) -> Any:
    try:
      child = idle.pop()
    except IndexError:  # Other threads have them all.
      child = _child(program, seconds, refusal)
    reply = _asked(child, question)
    if child.poll() is None:
      idle.append(child)
    return reply

  return ask


def _child(
  program: pathlib.Path,
  seconds: float,
  refusal: Callable[[str], InputError],
) -> subprocess.Popen:
  """A process that has loaded the program and waits for questions.

  It ends with its standard input, and so with this process. Its sets have the
  same order everywhere.
  """
  child = subprocess.Popen(
    [sys.executable, '-P', str(LOOP), str(program), str(seconds)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    env={**os.environ, 'PYTHONHASHSEED': '0'},
  )
  says = _line(child)
  if says != 'ready':
    _end(child)
    raise refusal(str(says))
  return child


def _asked(child: subprocess.Popen, question: tuple[Any, ...]) -> Any:
  """The reply; None without one, and the process ended if it had to."""
  assert child.stdin
  with contextlib.suppress(OSError):  # One that is gone has nothing to say.
    child.stdin.write(json.dumps(question).encode() + b'\n')
    child.stdin.flush()
  says = _line(child)
  if says is None:
    _end(child)
    return None
  return says['reply']


def _line(child: subprocess.Popen) -> Any:
  """The next line that the process writes, read as JSON; None at its end."""
  assert child.stdout
  line = child.stdout.readline()
  return json.loads(line) if line.endswith(b'\n') else None


def _end(child: subprocess.Popen) -> None:
  child.kill()
  with contextlib.suppress(OSError):  # What it was told last is not wanted.
    child.communicate()
