"""A client's request ends by its deadline, whatever the server sends."""

import contextlib
import socket
import threading
import time

import pytest

from adrpo_jax.rewards.remote import address as address_module
from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.remote.address import address, connected
from adrpo_jax.rewards.remote.exchange import (
  ExchangeError,
  NoAnswer,
  NoConnection,
  exchange,
)

SECONDS = 0.4
LATE = 5.0  # seconds by which a loaded machine may be late
OK = b'HTTP/1.1 200 OK\r\n'


@contextlib.contextmanager
def talking(say):
  """A server that reads a request and calls say(connection)."""
  over = threading.Event()
  with socket.create_server(('127.0.0.1', 0)) as listening:
    listening.settimeout(0.05)

    def serve():
      while not over.is_set():
        try:
          connection, _ = listening.accept()
        except TimeoutError:
          continue
        with connection, contextlib.suppress(OSError):
          connection.recv(65536)
          say(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
      yield address(f'http://127.0.0.1:{listening.getsockname()[1]}')
    finally:
      over.set()
      thread.join()


def dripping(content, pause=SECONDS / 8, count=160):
  """Sends one piece again and again, each in time."""

  def say(connection):
    for _ in range(count):
      connection.sendall(content)
      time.sleep(pause)

  return say


def after(first, say):
  def both(connection):
    connection.sendall(first)
    say(connection)

  return both


@pytest.mark.parametrize(
  'say',
  [
    dripping(b'H'),
    after(b'HTTP/1.1 200 ', dripping(b'O')),
    after(OK + b'X: ', dripping(b'y')),
    after(OK, dripping(b'X: y\r\n')),
    dripping(b'HTTP/1.1 100 Continue\r\n\r\n'),
    after(OK + b'Content-Length: 999\r\n\r\n', dripping(b' ')),
    after(
      OK + b'Transfer-Encoding: chunked\r\n\r\n',
      dripping(b'1\r\n \r\n'),
    ),
    after(OK + b'\r\n', dripping(b' ')),
  ],
  ids=[
    *('line', 'phrase', 'header', 'headers', 'continue', 'body', 'chunks'),
    'until it closes',
  ],
)
def test_an_answer_that_drips_ends_with_the_deadline(say):
  with talking(say) as at:
    began = time.monotonic()
    with pytest.raises(NoAnswer, match=r'within 0\.4 s'):
      exchange(at, '/score', b'{}', timeout=SECONDS, limit=10_000)
    assert SECONDS / 2 < time.monotonic() - began < SECONDS + LATE


@pytest.mark.parametrize(
  'secure', [False, True], ids=['a request', 'a handshake']
)
def test_a_server_that_reads_nothing(secure):
  """The body is larger than what the system takes over from us."""
  with socket.create_server(('127.0.0.1', 0)) as listening:
    scheme = 'https' if secure else 'http'
    at = address(f'{scheme}://127.0.0.1:{listening.getsockname()[1]}')
    began = time.monotonic()
    with pytest.raises(NoAnswer):
      exchange(at, '/score', bytes(2**25), timeout=SECONDS, limit=99)
    assert time.monotonic() - began < SECONDS + LATE


def test_a_name_that_is_not_looked_up_in_time(monkeypatch):
  release = threading.Event()
  monkeypatch.setattr(
    address_module.socket, 'getaddrinfo', lambda *_, **__: release.wait(5)
  )
  began = time.monotonic()
  try:
    with pytest.raises(NoAnswer):
      exchange(address('http://far'), '/', timeout=SECONDS, limit=99)
    assert time.monotonic() - began < SECONDS + LATE
  finally:
    release.set()


def test_a_name_of_many_addresses_has_one_deadline(monkeypatch):
  """Each address is tried in turn; all of them have the time of one."""
  found = [(socket.AF_INET, socket.SOCK_STREAM, 0, '', ('127.0.0.1', 1))] * 50
  tries = []

  class Silent(socket.socket):
    def connect(self, place):
      tries.append(self.gettimeout())
      time.sleep(0.1)
      raise TimeoutError

  monkeypatch.setattr(
    address_module.socket, 'getaddrinfo', lambda *_, **__: found
  )
  monkeypatch.setattr(address_module.socket, 'socket', Silent)
  began = time.monotonic()
  with pytest.raises(TimeoutError):
    connected(address('http://far'), began + SECONDS)
  assert time.monotonic() - began < SECONDS + LATE
  assert tries == sorted(tries, reverse=True)
  assert 1 <= len(tries) <= 5


def test_a_second_address_is_tried_when_the_first_is_closed(monkeypatch):
  body = wire.write_health('x')
  head = OK + b'Content-Length: %d\r\n\r\n' % len(body)
  with talking(lambda connection: connection.sendall(head + body)) as at:
    look_up = socket.getaddrinfo

    def found(*given, **named):
      (right,) = look_up(*given, **named)
      return [(*right[:4], ('127.0.0.1', 1)), right]

    monkeypatch.setattr(address_module.socket, 'getaddrinfo', found)
    assert exchange(at, '/health', timeout=5, limit=99) == body


@pytest.mark.parametrize('name', ['no.such.host.invalid', 'x' * 70 + '.y'])
def test_a_name_that_is_not_known(name):
  with pytest.raises(NoConnection):
    exchange(address(f'http://{name}'), '/', timeout=5, limit=99)


def test_headers_without_end_are_an_error():
  say = after(OK, dripping(b'X: y\r\n' * 200, 0.0))
  with talking(say) as at, pytest.raises(ExchangeError):
    exchange(at, '/', timeout=5, limit=99)
