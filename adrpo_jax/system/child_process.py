"""Calls a library in a child process that can be ended.

A library that parses the answers of a model may compute for hours on ten
characters or fill the memory, and a thread cannot be stopped. Therefore it runs
in a process that ends itself after a time limit. The next question then starts
a new process.
"""

from collections.abc import Callable
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

from adrpo_jax.errors import InputError

LOOP = pathlib.Path(__file__).with_name('child_loop.py')

# A process that neither answers nor computes is ended too, and one whose timer
# the kernel has lost, which was seen on virtual machines. These limits are in
# seconds of the clock and far above what a busy host needs.
LOADING = 600.0
WAITING = 30.0


def patience(seconds: float) -> float:
  """Returns the seconds of the clock for a reply of `seconds` of CPU time."""
  return WAITING + 10 * seconds


def make_child_function(
  program: pathlib.Path,
  seconds: float,
  refusal: Callable[[str], InputError],
) -> Callable[..., Any]:
  """Makes a function (*question) -> reply that runs in a child process.

  Question and reply are values that JSON can store. The reply is None if it
  took too long, raised an error, or broke the process. Several threads may call
  the function; each call has a process of its own.

  Args:
    program: a file with a function `loaded`, see `child_loop`.
    seconds: limit of CPU time for a reply. Waiting does not count, but a reply
      that needs more than `patience(seconds)` by the clock is None as well.
    refusal: message -> the error for a program that cannot be loaded.

  Raises:
    InputError: the number of seconds is not positive, or `refusal`.
  """
  if not 0 < seconds < float('inf'):
    raise InputError(f'Expected a number of seconds above 0, got {seconds}.')
  idle = [_child(program, seconds, refusal)]

  def ask(*question: Any) -> Any:
    try:
      child = idle.pop()
    except IndexError:  # Other threads use all processes.
      child = _child(program, seconds, refusal)
    reply = _ask(child, question, seconds)
    if child.poll() is None:
      idle.append(child)
    return reply

  return ask


def _child(
  program: pathlib.Path,
  seconds: float,
  refusal: Callable[[str], InputError],
) -> subprocess.Popen:
  """Starts a process that loads the program and waits for questions.

  It ends when its standard input ends, so also when this process ends. A fixed
  hash seed makes the order of its sets the same everywhere.
  """
  child = subprocess.Popen(
    [sys.executable, '-P', str(LOOP), str(program), str(seconds)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    env={**os.environ, 'PYTHONHASHSEED': '0'},
    process_group=0,  # A Ctrl-C goes to the whole group of this process.
  )
  message = _line(child, LOADING)
  if message != 'ready':
    _end(child)
    raise refusal(message or 'it ended or hung before it was ready')
  return child


def _ask(
  child: subprocess.Popen, question: tuple[Any, ...], seconds: float
) -> Any:
  """Returns the reply. Without one, ends the process and returns None."""
  assert child.stdin
  with contextlib.suppress(OSError):  # The process may have ended.
    child.stdin.write(json.dumps(question).encode() + b'\n')
    child.stdin.flush()
  message = _line(child, patience(seconds))
  if message is None:
    _end(child)
    return None
  return message['reply']


def _line(child: subprocess.Popen, seconds: float) -> Any:
  """Returns the next line of the process, parsed as JSON; None at the end.

  A process that writes no line within `seconds` of the clock is killed.
  """
  assert child.stdout
  watchdog = threading.Timer(seconds, child.kill)
  watchdog.start()
  try:
    line = child.stdout.readline()
  finally:
    watchdog.cancel()
  return json.loads(line) if line.endswith(b'\n') else None


def _end(child: subprocess.Popen) -> None:
  child.kill()
  # Its last question may be unread; another process may hold its output open.
  with contextlib.suppress(OSError, subprocess.TimeoutExpired):
    child.communicate(timeout=WAITING)
