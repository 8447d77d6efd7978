"""The open connections of a server, of which there are only so many.

A connection is arriving until its request has been read. Where one too many
comes, the one that has been arriving for the longest makes room: an honest
request arrives in a moment, so slow ones lose their places to each other.
"""

import contextlib
import socket
import threading
from typing import Any


class Connections:
  """The places of a server; threads may call it at once."""

  def __init__(self, places: int):
    self._places = places
    self._lock = threading.Lock()
    self._open: set[Any] = set()
    self._arriving: dict[Any, None] = {}  # in the order in which they came

  def enter(self, connected: socket.socket) -> bool:
    """Gives a new connection its place, if need be that of an older one.

    Returns:
      False where all places have requests that are read and wait for answers.
    """
    with self._lock:
      if len(self._open) >= self._places:
        if not self._arriving:
          return False
        self._end(next(iter(self._arriving)))
      self._open.add(connected)
      self._arriving[connected] = None
      return True

  def arrived(self, connected: socket.socket) -> None:
    """Notes that the request has been read: the place is kept to the end."""
    with self._lock:
      self._arriving.pop(connected, None)

  def leave(self, connected: socket.socket) -> None:
    """Frees the place of a connection that is to be closed."""
    with self._lock:
      self._open.discard(connected)
      self._arriving.pop(connected, None)

  def _end(self, connected: socket.socket) -> None:
    """Wakes the thread that reads from it, which then closes it."""
    self._open.discard(connected)
    del self._arriving[connected]
    with contextlib.suppress(OSError):
      connected.shutdown(socket.SHUT_RDWR)
