"""The server side of the wire: requests are read, judged and answered.

A request has one deadline for its headers and its body, and an answer one of
its own. Requests are read outside the slots in which they are judged, and there
are only so many connections: clients that send slowly, or stop, keep nobody
from an answer.
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import http.client
import http.server
import ipaddress
import socket
import sys
import threading
import time
from typing import Any, cast

from absl import logging
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.remote.connections import Connections
from adrpo_jax.rewards.remote.deadline import DeadlineSocket
from adrpo_jax.rewards.remote.tokens import allows

MAX_BYTES = 2**26  # of a request
MAX_HEADER_BYTES = 2**14  # of all header lines together
MAX_CONNECTIONS = 64
SECONDS = 60.0  # in which a request arrives, and again for its answer

# (records of B prompts, B samples) -> [B] numbers, or name -> [B].
Judge = Callable[[Sequence[Any], Any], Any]


class RewardServer(http.server.ThreadingHTTPServer):
  """Answers POST /score with a host function, and GET /health with its name.

  The kind of a request chooses the function: that of images, or of texts.
  """

  daemon_threads = True
  request_queue_size = 128

  def __init__(
    self,
    function: Judge | None,
    name: str,
    *,
    of_texts: Judge | None = None,
    host: str = '127.0.0.1',
    port: int = 0,
    workers: int = 4,
    token: str = '',
    max_bytes: int = MAX_BYTES,
    max_connections: int = MAX_CONNECTIONS,
    seconds: float = SECONDS,
  ):
    """Listens; `serve_forever` answers.

    Args:
      function: (texts, images [B, H, W, 3] uint8) -> [B] numbers, or name ->
        [B], of which only 'reward' is sent; None judges no images.
      name: of the reward, for /health.
      of_texts: (B `TextPrompt`s, B answers) -> the like; None judges no texts.
      host: the address to listen on.
      port: 0 takes a free one; `url` has it.
      workers: requests that are judged at the same time; more wait. With 1 the
        function is never called by two threads at once.
      token: that every request must have; '' asks for none, which is allowed
        only at an address of this machine.
      max_bytes: of a request; a longer one gets the status 413.
      max_connections: at the same time, those that wait included.
      seconds: for a request to arrive, and again for its answer to be taken.

    Raises:
      InputError: no token at an address that others reach.
      OSError: an address that is not known, or not free.
    """
    places = socket.getaddrinfo(
      host or '0.0.0.0', port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    if not token and not all(_is_loopback(place) for place in places):
      raise InputError(
        f'Expected a token of a server at {host!r}, which other machines may '
        'reach. Put one into an environment variable and name that: '
        '--token-from=NAME; or listen on 127.0.0.1.'
      )
    self.functions = {'samples': function, 'answers': of_texts}
    self.name, self.token, self.seconds = name, token, seconds
    self.max_bytes = max_bytes
    self.slots = threading.BoundedSemaphore(workers)
    self.connections = Connections(max_connections)
    self.address_family = places[0][0]
    super().__init__((host, port), _Handler)
    shown = f'[{host}]' if ':' in host else host
    self.url = f'http://{shown}:{self.server_port}'  # for this machine

  def verify_request(self, request, client_address) -> bool:
    """Gives the connection a place; without one it is closed."""
    return self.connections.enter(request)

  def shutdown_request(self, request) -> None:
    """Closes a connection and frees its place."""
    self.connections.leave(request)
    super().shutdown_request(request)

  def handle_error(self, request, client_address) -> None:
    """Logs what a handler raised; a client that left is no error."""
    if isinstance(sys.exception(), OSError):
      logging.debug('%s: %s', client_address, sys.exception())
    else:
      logging.exception('A request from %s failed.', client_address)


class _BadRequest(Exception):
  """A status and its message."""


class _Lines:
  """The reading side while headers come; all of them together are limited."""

  def __init__(self, file, room: int):
    self._file, self._room = file, room

  def readline(self, limit: int) -> bytes:
    line = self._file.readline(min(limit, self._room + 1))
    self._room -= len(line)
    if self._room < 0:  # The base class answers 431.
      raise http.client.HTTPException('more bytes of headers than allowed')
    return line


class _Handler(http.server.BaseHTTPRequestHandler):
  """One connection, which has one request."""

  server: RewardServer
  has_unread_body = True

  def setup(self) -> None:
    """Opens the two sides of the connection, with the deadline."""
    self.entered = self.request
    self.request = DeadlineSocket(
      self.request, time.monotonic() + self.server.seconds
    )
    super().setup()

  def parse_request(self) -> bool:
    """Reads the headers; False where an error was sent."""
    whole = self.rfile
    self.rfile = cast(Any, _Lines(whole, MAX_HEADER_BYTES))
    try:
      return super().parse_request()
    finally:
      self.rfile = whole

  def do_GET(self) -> None:
    self._answer('/health', lambda: wire.write_health(self.server.name))

  def do_POST(self) -> None:
    self._answer('/score', self._scored)

  def send_error(self, code, message=None, explain=None) -> None:
    """Sends an error as JSON, also those that the base class raises."""
    self.close_connection = True
    self._send(code, wire.write_error(message or self.responses[code][0]))
    if self.command == 'POST' and self.has_unread_body:
      self._pass_over()

  def log_message(self, format, *args) -> None:  # noqa: A002 (its name)
    logging.debug('%s ' + format, self.address_string(), *args)

  def _answer(self, path: str, answer: Callable[[], bytes]) -> None:
    try:
      if not allows(self.server.token, self.headers.get('Authorization')):
        raise _BadRequest(401, 'expected the token of this server')
      if self.path != path:
        raise _BadRequest(404, 'expected GET /health or POST /score')
      body = answer()
    except _BadRequest as error:
      self.send_error(*error.args)
    except TimeoutError:
      self.send_error(
        408, f'the request did not arrive within {self.server.seconds:g} s'
      )
    else:
      self._send(200, body)

  def _scored(self) -> bytes:
    body = self._body()
    self.server.connections.arrived(self.entered)
    with self.server.slots:
      return self._judge(body)

  def _body(self) -> bytes:
    size = self._stated_size()
    if size > self.server.max_bytes:
      raise _BadRequest(
        413,
        f'expected at most {self.server.max_bytes} bytes, got {size}: send '
        'fewer samples in a request (batch_size)',
      )
    body = self.rfile.read(size)
    self.has_unread_body = False
    if len(body) < size:
      raise _BadRequest(400, f'expected {size} bytes, got {len(body)}')
    return body

  def _stated_size(self) -> int:
    stated = self.headers.get_all('Content-Length', [])
    whole = len(set(stated)) == 1 and 'Transfer-Encoding' not in self.headers
    digits = stated[0].strip() if whole else ''
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
      raise _BadRequest(411, 'expected one Content-Length, a number of bytes')
    return int(digits)

  def _pass_over(self) -> None:
    """Drops a body not far over the limit, so that its sender reads why."""
    with contextlib.suppress(OSError):
      self.entered.shutdown(socket.SHUT_WR)
      for _ in range(4 * self.server.max_bytes // 65536 + 1):
        if not self.rfile.read1(65536):
          break

  def _judge(self, body: bytes) -> bytes:
    try:
      prompts, samples = wire.read_request(body)
    except wire.WireError as error:
      raise _BadRequest(400, str(error)) from error
    kind = 'samples' if isinstance(samples, np.ndarray) else 'answers'
    function = self.server.functions[kind]
    if function is None:
      raise _BadRequest(
        400, f'the reward {self.server.name!r} does not judge {kind!r}'
      )
    try:
      scores = function(prompts, samples)
      if isinstance(scores, Mapping):
        scores = scores['reward']
      rewards = np.asarray(scores, np.float64)
      if rewards.shape != (len(prompts),):
        raise ValueError(
          f'expected rewards of shape {(len(prompts),)}, got {rewards.shape}'
        )
    except Exception as error:  # It is not our code; the error is reported.
      logging.exception('The reward %r failed.', self.server.name)
      raise _BadRequest(500, f'{type(error).__name__}: {error}') from error
    return wire.write_answer(rewards)

  def _send(self, status: int, body: bytes) -> None:
    self.request.ends = time.monotonic() + self.server.seconds
    # A client that closed the connection, or stopped, is no error of ours.
    with contextlib.suppress(OSError):
      self.send_response(status)
      self.send_header('Content-Type', 'application/json')
      self.send_header('Content-Length', str(len(body)))
      if status == 401:
        self.send_header('WWW-Authenticate', 'Bearer')
      self.end_headers()
      self.wfile.write(body)


def _is_loopback(place: tuple[Any, ...]) -> bool:
  return ipaddress.ip_address(place[4][0].partition('%')[0]).is_loopback
