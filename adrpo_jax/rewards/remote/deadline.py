"""A socket whose calls all end by one moment, however slowly bytes come.

The timeout of a socket bounds one call. A peer that sends a byte now and then
keeps each call short and the whole request endless: so what is left until the
deadline is set anew before every call.
"""

import io
import socket
import time


class DeadlineSocket:
  """What `http.client` and `http.server` use of a socket, with a deadline.

  Attributes:
    ends: the deadline, of `time.monotonic`; a call that would outlast it raises
      TimeoutError.
  """

  def __init__(self, connected: socket.socket, ends: float):
    self.ends = ends
    self._socket = connected

  def sendall(self, content: bytes) -> None:
    """Sends all of it."""
    self._socket.settimeout(left(self.ends))
    self._socket.sendall(content)

  def makefile(self, mode: str, buffering: int = -1) -> io.BufferedReader:
    """Opens the reading side, the only one that is read through a file."""
    assert (mode, buffering) == ('rb', -1)
    return io.BufferedReader(_Reader(self, self._socket))

  def wait_for_read(self) -> None:
    """Gives the next read what is left of the time."""
    self._socket.settimeout(left(self.ends))

  def close(self) -> None:
    """Closes the socket, once its files are closed too."""
    self._socket.close()


class _Reader(io.RawIOBase):
  """The reading side of a DeadlineSocket."""

  def __init__(self, owner: DeadlineSocket, connected: socket.socket):
    super().__init__()
    self._owner = owner
    self._file = connected.makefile('rb', buffering=0)

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int | None:
    self._owner.wait_for_read()
    return self._file.readinto(buffer)

  def close(self) -> None:
    self._file.close()
    super().close()


def left(ends: float) -> float:
  """Returns the seconds until a deadline. Raises TimeoutError after it."""
  seconds = ends - time.monotonic()
  if seconds <= 0:
    raise TimeoutError('the deadline has passed')
  return seconds
