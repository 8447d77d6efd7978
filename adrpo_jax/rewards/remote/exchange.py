"""One HTTP request, bounded in time and size, with retries where they help.

Redirects are not followed, and proxies of the environment are not used: a
request goes to the configured address only.
"""

from collections.abc import Callable, Sequence
import http.client
import time
from typing import TypeVar

from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.remote.address import Address, connected
from adrpo_jax.rewards.remote.deadline import DeadlineSocket
from adrpo_jax.rewards.remote.tokens import header

MAX_WAIT = 30.0  # seconds between two attempts
# Status -> what to do about it.
ADVICE = {
  401: '. Set token_from to the environment variable with its token',
  413: '. Send fewer samples in a request: a smaller batch_size of the reward',
}

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


def exchange(
  at: Address,
  path: str,
  body: bytes | None = None,
  *,
  token: str = '',
  timeout: float,
  limit: int,
) -> bytes:
  """Sends a POST with a body, or else a GET; returns the body of the answer.

  Args:
    at: the server.
    path: of the request, below that of the address.
    body: JSON, or None.
    token: is sent in a header; '' sends none. With one, no error repeats a word
      of the server.
    timeout: seconds for all of it: the name looked up, the connection, the
      request, the answer.
    limit: the largest number of bytes of an answer; more are `Rejected`.

  Raises:
    ExchangeError: one of its four kinds.
  """
  ends = time.monotonic() + timeout
  connection = http.client.HTTPConnection(at.host, at.port)
  try:
    connection.sock = DeadlineSocket(connected(at, ends), ends)
    connection.request(
      'GET' if body is None else 'POST',
      at.path + path,
      body,
      {
        'Content-Type': 'application/json',
        'Connection': 'close',
        **header(token),
      },
    )
    with connection.getresponse() as response:
      content = _content(response, limit)
  except TimeoutError as error:
    raise NoAnswer(f'{at.url} did not answer within {timeout:g} s') from error
  except OSError as error:
    raise NoConnection(_line(at, error, str(error))) from error
  except http.client.HTTPException as error:
    # Its text, and so its traceback, may repeat a line of the server.
    words = '' if token else _shown(str(error))
    raise NoConnection(_line(at, error, words)) from None
  finally:
    connection.close()
  if response.status != 200:
    kind = ServerFailed if response.status >= 500 else Rejected
    raise kind(f'{at.url} answered {_said(response.status, content, token)}')
  if len(content) > limit:
    raise Rejected(f'{at.url} answered with more than {limit} bytes')
  return content


def _line(at: Address, error: Exception, words: str) -> str:
  return f'{at.url}: {type(error).__name__}: {words}'.rstrip(': ')


def _said(status: int, content: bytes, token: str) -> str:
  """A status with its meaning, the server's words, and what can be done."""
  phrase = f'{status} {http.client.responses.get(status, "")}'.rstrip()
  words = f': {_shown(wire.read_error(content))}'
  if token:
    words = '; its words are not shown, since a token was sent'
  return f'{phrase}{words}{ADVICE.get(status, "")}'


def _shown(words: str) -> str:
  """A server's text without what would steer a terminal."""
  return ''.join(c if c.isprintable() else ' ' for c in words)


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


def _content(response: http.client.HTTPResponse, limit: int) -> bytes:
  """Reads the body, or its first `limit` + 1 bytes."""
  stated = response.length
  wanted = limit + 1 if stated is None else min(stated, limit + 1)
  content = bytearray()
  while len(content) < wanted:
    piece = response.read1(min(65536, wanted - len(content)))
    if not piece:
      break
    content += piece
  if stated is not None and len(content) < wanted:
    raise http.client.IncompleteRead(bytes(content), wanted - len(content))
  return bytes(content)
