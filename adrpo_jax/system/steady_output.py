"""Printing that never ends a run.

A reader may close the pipe (`| head`), a console may know no "→", a disk with
the log may be full, and a terminal may be gone. What cannot be printed is
dropped, because the files of a run hold all of it.
"""

from collections.abc import Iterator
import contextlib
import io
import os
import sys
from typing import Any, TextIO


class SteadyStream:
  """A text stream whose `write` and `flush` raise no error.

  A character that the stream cannot encode becomes "?". All other attributes
  are those of the stream.
  """

  def __init__(self, stream: TextIO | io.TextIOBase) -> None:
    self._stream = stream

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)

  def write(self, text: str) -> int:
    """Writes what can be written. Returns the length of the text."""
    encoding = getattr(self._stream, 'encoding', None) or 'utf-8'
    shown = text.encode(encoding, 'replace').decode(encoding)
    with self._dropping():
      self._stream.write(shown)
    return len(text)

  def flush(self) -> None:
    """Flushes what can be written."""
    with self._dropping():
      self._stream.flush()

  def isatty(self) -> bool:
    """Returns True for a terminal, False for a closed stream."""
    with contextlib.suppress(OSError, ValueError):
      return self._stream.isatty()
    return False

  def close_down(self) -> None:
    """Flushes for the last time.

    What is still unwritten goes to the null device. Otherwise Python would try
    again at its exit and replace the exit status by 120.
    """
    try:
      self._stream.flush()
    except OSError:
      self._discard()
    except ValueError:  # It is closed: nothing is left to write.
      return

  @contextlib.contextmanager
  def _dropping(self) -> Iterator[None]:
    try:
      yield
    except BrokenPipeError:  # Nobody will ever read again.
      self._discard()
    except (OSError, ValueError):  # A full disk may have room later.
      return

  def _discard(self) -> None:
    """Redirects the file descriptor of the stream to the null device."""
    with contextlib.suppress(OSError, ValueError):
      null = os.open(os.devnull, os.O_WRONLY)
      os.dup2(null, self._stream.fileno())
      os.close(null)
      self._stream.flush()


@contextlib.contextmanager
def steady_output() -> Iterator[None]:
  """Makes stdout and stderr steady until the block ends.

  Python sets a stream to None that was closed before its start. It is replaced
  by one that keeps nothing.
  """
  streams: list[Any] = [  # No class can say that it is like another stream.
    SteadyStream(stream if stream is not None else _Null())
    for stream in (sys.stdout, sys.stderr)
  ]
  before = sys.stdout, sys.stderr
  sys.stdout, sys.stderr = streams
  try:
    yield
  finally:
    sys.stdout, sys.stderr = before
    for stream in streams:
      stream.close_down()


class _Null(io.TextIOBase):
  """A stream that keeps nothing."""

  encoding = 'utf-8'

  def write(self, text: str) -> int:
    return len(text)
