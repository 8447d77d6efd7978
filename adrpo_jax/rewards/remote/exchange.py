"""One HTTP request, bounded in time and size, with retries where they help.

Redirects are not followed, and proxies of the environment are not used: a
request goes to the configured address only.
"""

from collections.abc import Callable, Mapping, Sequence
import http.client
import time
from typing import NamedTuple, TypeVar
import urllib.parse

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.remote import wire

MAX_WAIT = 30.0  # seconds between two attempts

Answer = TypeVar('Answer')


class ExchangeError(RuntimeError):
  """A request without a usable answer; the message names the address."""


class NoConnection(ExchangeError):
  """No server there, or the connection ended before the answer did."""


class NoAnswer(ExchangeError):
  """The answer did not come in time."""


class ServerFailed(ExchangeError):
  """A status of 500 and above; a retry may succeed."""


class Rejected(ExchangeError):
  """Any other status but 200; a retry would fail again."""


class Address(NamedTuple):
  """The address of a server, parsed once, so that a bad url fails at once."""

  url: str
  secure: bool
  host: str
  port: int | None
  path: str

  def connect(self, timeout: float) -> http.client.HTTPConnection:
    """A connection that is not open yet."""
    kind = (
      http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
    )
    return kind(self.host, self.port, timeout=timeout)


def address(url: str) -> Address:
  """'http://host:port/path' -> Address.

  Raises:
    InputError: another kind of url, or one with a password or a query.
  """
  try:
    parts = urllib.parse.urlsplit(url)
    port = parts.port
  except ValueError:
    parts, port = urllib.parse.urlsplit(''), None
  if parts.scheme not in ('http', 'https') or not parts.hostname:
    raise InputError(
      f'Expected the url of a reward server, http://HOST:PORT, got {url!r}.'
    )
  if '@' in parts.netloc or parts.query:
    raise InputError(
      'Expected the url of a reward server without user, password and query. '
      'A secret goes into an environment variable: see token_from.'
    )
  path = parts.path.rstrip('/')
  return Address(
    f'{parts.scheme}://{parts.netloc}{path}',
    parts.scheme == 'https',
    parts.hostname,
    port,
    path,
  )


def exchange(
  at: Address,
  path: str,
  body: bytes | None = None,
  *,
  headers: Mapping[str, str],
  timeout: float,
  limit: int,
) -> bytes:
  """Sends a POST with a body, or else a GET; returns the body of the answer.

  Args:
    at: the server.
    path: of the request, below that of the address.
    body: JSON, or None.
    headers: beside those that HTTP needs.
    timeout: seconds, from the first byte sent to the last one received. Only a
      server that sends its headers byte by byte can exceed it.
    limit: the largest number of bytes of an answer; more are `Rejected`.

  Raises:
    ExchangeError: one of its four kinds.
  """
  ends = time.monotonic() + timeout
  connection = at.connect(timeout)
  try:
    connection.connect()
    socket = connection.sock  # Only the response has it after the headers.
    connection.request(
      'GET' if body is None else 'POST',
      at.path + path,
      body,
      {
        'Content-Type': 'application/json',
        'Connection': 'close',
        **headers,
      },
    )
    socket.settimeout(_left(ends))
    with connection.getresponse() as response:
      content = _content(response, socket, ends, limit)
  except TimeoutError as error:
    raise NoAnswer(f'{at.url} did not answer within {timeout:g} s') from error
  except (OSError, http.client.HTTPException) as error:
    raise NoConnection(
      f'{at.url}: {type(error).__name__}: {error}'.rstrip(': ')
    ) from error
  finally:
    connection.close()
  if response.status != 200:
    kind = ServerFailed if response.status >= 500 else Rejected
    raise kind(
      f'{at.url} answered {response.status} {response.reason}: '
      f'{wire.read_error(content)}'
    )
  if len(content) > limit:
    raise Rejected(f'{at.url} answered with more than {limit} bytes')
  return content


def waits(retries: int, backoff: float, share: float) -> list[float]:
  """Seconds before each further attempt: backoff·2ᵏ·(1 + share)/2, k = 0, 1, …

  Each is at most MAX_WAIT. `share` in [0, 1) separates requests that failed at
  the same moment, so that they are not repeated at the same moment.
  """
  return [
    min(backoff * 2.0 ** min(k, 64), MAX_WAIT) * (1 + share) / 2
    for k in range(retries)
  ]


def retry(
  ask: Callable[[], Answer],
  pauses: Sequence[float],
  sleep: Callable[[float], None] = time.sleep,
) -> Answer:
  """Returns ask(), which is repeated after a failure that a retry may mend.

  Raises:
    ExchangeError: that of the last attempt, or the first `Rejected`.
  """
  for pause in pauses:
    try:
      return ask()
    except (NoConnection, NoAnswer, ServerFailed):
      sleep(pause)
  return ask()


def _content(
  response: http.client.HTTPResponse, socket, ends: float, limit: int
) -> bytes:
  """Reads the body, or its first `limit` + 1 bytes, before the time ends."""
  stated = response.length
  wanted = limit + 1 if stated is None else min(stated, limit + 1)
  content = bytearray()
  while len(content) < wanted:
    socket.settimeout(_left(ends))
    piece = response.read1(min(65536, wanted - len(content)))
    if not piece:
      break
    content += piece
  if stated is not None and len(content) < wanted:
    raise http.client.IncompleteRead(bytes(content), wanted - len(content))
  return bytes(content)


def _left(ends: float) -> float:
  left = ends - time.monotonic()
  if left <= 0:
    raise TimeoutError
  return left
