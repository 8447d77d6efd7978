"""SIGINT and SIGTERM: both ask a run to stop, at whatever it is busy with.

Python calls the handler of a signal only between two of its own instructions,
so not while XLA compiles for minutes, and what a handler raises can be lost in
a callback of a library. Therefore a thread reads the signals and acts.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import os
import select
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The exit status of a run that is not finished and can go on: EX_TEMPFAIL.
STOPPED = 75
# Names the file descriptor of a pipe that ends when the parent process ends.
LIFELINE = 'ADRPO_JAX_LIFELINE'

_reactions: list[Callable[[int], None]] = []
_heard: list[signal.Signals] = []  # by the outermost block


@contextlib.contextmanager
def stop_signals(
  react: Callable[[int], None], signals: Sequence[signal.Signals] = SIGNALS
) -> Iterator[None]:
  """Calls `react(1)` at the first signal to stop, `react(2)` at the second, …

  It is called in a thread. The end of a parent process that made a LIFELINE
  counts as two signals. In nested blocks the innermost reacts, and the
  outermost says which signals count. Outside of the main thread, where Python
  allows no handlers, the block changes nothing.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  with contextlib.nullcontext() if _reactions else _listening(signals):
    _reactions.append(react)
    try:
      yield
    finally:
      _reactions.pop()


def end_until_listened(commands: Sequence[str]) -> None:
  """Ends this process at a signal to stop, until a `stop_signals` listens.

  It is for the seconds in which a command imports what it needs, and changes
  nothing in a program that is none of the commands, as `python -m` or a script
  names them.
  """
  words = sys.orig_argv
  module = words[words.index('-m') + 1 :][:1] if '-m' in words else []
  if {*module, os.path.basename(sys.argv[0])} & set(commands):
    for number in SIGNALS:
      signal.signal(number, _end_before_begun)


def listening() -> bool:
  """Returns True inside of a block of `stop_signals`."""
  return bool(_reactions)


def listen_again() -> None:
  """Takes the signals back from a library that has put handlers of its own.

  `jax.distributed.initialize` takes SIGTERM, for a service that one process
  alone never asks.
  """
  for number in _heard:
    signal.signal(number, _leave)


def end_at_once(message: str) -> NoReturn:
  """Ends this process as a stopped one, from any thread, with a last line."""
  print(f'\n{message}', file=sys.stderr, flush=True)
  os._exit(STOPPED)


@contextlib.contextmanager
def _listening(signals: Sequence[signal.Signals]) -> Iterator[None]:
  """Runs the thread until the block ends, then gives the handlers back."""
  reader, writer = socket.socketpair()
  writer.setblocking(False)  # As `set_wakeup_fd` asks for.
  before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
  previous = {number: signal.signal(number, _leave) for number in signals}
  _heard.extend(signals)
  thread = threading.Thread(target=_listen, args=(reader,), daemon=True)
  thread.start()
  try:
    yield
  finally:
    _heard.clear()
    for number, handler in previous.items():
      # None: the previous handler was not set from Python, so it is lost.
      signal.signal(number, handler or signal.SIG_DFL)
    signal.set_wakeup_fd(before)
    writer.close()  # The thread reads the end.
    thread.join()
    reader.close()


def _listen(reader: socket.socket) -> None:
  """Reads signals, each a byte, until the socket ends."""
  sources = [reader.fileno()]
  if parent := os.environ.pop(LIFELINE, ''):
    sources.append(int(parent))
  count = 0
  while True:
    ready, _, _ = select.select(sources, [], [])
    if reader.fileno() not in ready:
      del sources[1:]
      count += 1  # The parent process has been killed: there is no time.
    else:
      byte = reader.recv(1)
      if not byte:
        return
      if byte[0] not in SIGNALS:  # Another handler of this process has it.
        continue
    count += 1
    for react in _reactions[-1:]:
      react(count)


def _end_before_begun(number: int, frame: Any) -> None:
  end_at_once('Stopped. To go on, give the same command.')


def _leave(number: int, frame: Any) -> None:
  """A handler that leaves the signal to the thread."""
