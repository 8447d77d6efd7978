"""The address of a reward server, and a connection to it before a deadline."""

import functools
import queue
import socket
import ssl
import threading
from typing import Any, NamedTuple
import urllib.parse

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.remote.deadline import left


class Address(NamedTuple):
  """The address of a server, parsed once, so that a bad url fails at once."""

  url: str
  secure: bool
  host: str
  port: int
  path: str


def address(url: str) -> Address:
  """'http://host:port/path' -> Address.

  Raises:
    InputError: another kind of url, or one with a password, a query or a
      fragment. The message does not repeat a url that may have a secret.
  """
  if set(url) & set('@?#'):
    raise InputError(
      'Expected the url of a reward server without user, password, query and '
      'fragment. A secret goes into an environment variable: see token_from.'
    )
  try:
    parts = urllib.parse.urlsplit(url)
    port = parts.port
    path = urllib.parse.quote(parts.path.rstrip('/'), safe="/%:~!$&'()*+,;=")
  except ValueError:
    parts, port, path = urllib.parse.urlsplit(''), None, ''
  if parts.scheme not in ('http', 'https') or not _is_host(
    parts.hostname or ''
  ):
    raise InputError(
      'Expected the url of a reward server, http://HOST:PORT or '
      'https://HOST:PORT, got another text. (It is not shown, in case it has a '
      'password.)'
    )
  secure = parts.scheme == 'https'
  return Address(
    f'{parts.scheme}://{parts.netloc}{path}',
    secure,
    parts.hostname or '',
    port or (443 if secure else 80),
    path,
  )


def connected(at: Address, ends: float) -> socket.socket:
  """Returns an open connection, encrypted if the address asks for it.

  Raises:
    TimeoutError: the deadline has passed.
    OSError: no connection to any address of the name.
  """
  failure: OSError = OSError(f'{at.host} has no address')
  for family, kind, protocol, _, place in _places(at, ends):
    opened = socket.socket(family, kind, protocol)
    try:
      opened.settimeout(left(ends))
      opened.connect(place)
      opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      return _secured(opened, at, ends) if at.secure else opened
    except OSError as error:
      opened.close()
      failure = error
  raise failure


def _secured(opened: socket.socket, at: Address, ends: float) -> socket.socket:
  context = _trusted()
  opened.settimeout(left(ends))  # of the whole handshake
  return context.wrap_socket(opened, server_hostname=at.host)


@functools.cache
def _trusted() -> ssl.SSLContext:
  """The certificates of this machine, which take a while to read."""
  return ssl.create_default_context()


def _places(at: Address, ends: float) -> list[Any]:
  """The addresses of a name; a thread looks it up, since that has no timeout.

  Raises:
    TimeoutError: the deadline has passed.
    OSError: the name is not known.
  """
  found: queue.SimpleQueue = queue.SimpleQueue()

  def look_up() -> None:
    try:
      found.put(socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
      found.put(error)

  threading.Thread(target=look_up, daemon=True).start()
  try:
    places = found.get(timeout=left(ends))
  except queue.Empty:
    raise TimeoutError(f'{at.host} was not looked up in time') from None
  if isinstance(places, UnicodeError):
    raise OSError(f'{at.host!r} is no name of a host') from places
  if isinstance(places, OSError):
    raise places
  return places


def _is_host(name: str) -> bool:
  """Tells if a text can stand in a header as the name of a host."""
  return bool(name) and name.isprintable() and not set(name) & set(' %\\')
