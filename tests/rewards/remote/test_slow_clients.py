"""Clients that are slow, silent, many or wrong keep nobody from an answer."""

import contextlib
import socket
import threading
import time

import numpy as np
import pytest

from adrpo_jax.rewards.remote import http_server, wire
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.rewards.remote.http_server import RewardServer
from adrpo_jax.rewards.text.protocol import TextPrompt

PATIENCE = 60.0  # seconds that a request may take where nobody waits for it
SECONDS = 1.0  # the same, where a test waits for it
PROMPTS = (TextPrompt('?'),) * 2
BODY = wire.write_text_request(PROMPTS, ('a', 'bcd'))
HEAD = b'POST /score HTTP/1.1\r\nHost: x\r\n'
WHOLE = HEAD + b'Content-Length: %d\r\n\r\n' % len(BODY) + BODY


def lengths(prompts, answers):
  return [len(answer) for answer in answers]


@contextlib.contextmanager
def serving(**options):
  options = {'of_texts': lengths, 'workers': 2, 'seconds': PATIENCE} | options
  with RewardServer(None, 'lengths', **options) as server:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
      yield server
    finally:
      server.shutdown()
      thread.join()


@contextlib.contextmanager
def clients(server, count, sent):
  """Connections that have sent so much, and then nothing."""
  with contextlib.ExitStack() as stack:
    opened = []
    for _ in range(count):
      place = ('127.0.0.1', server.server_port)
      client = stack.enter_context(socket.create_connection(place, PATIENCE))
      client.sendall(sent)
      opened.append(client)
    yield opened


def check_honest(server, seconds=PATIENCE / 4):
  """A whole request is answered, and long before slow ones are given up."""
  began = time.monotonic()
  function = remote(server.url, timeout=seconds, retries=0)
  np.testing.assert_array_equal(function(PROMPTS, ('a', 'bcd')), [1, 3])
  assert time.monotonic() - began < seconds


def answer(client):
  """What comes back until the server closes -> status, all of it."""
  said = b''
  with contextlib.suppress(ConnectionError):
    while piece := client.recv(65536):
      said += piece
  return int(said.split()[1]) if said.startswith(b'HTTP') else None, said


@pytest.mark.parametrize(
  'sent',
  [b'', b'POST', HEAD, HEAD + b'X-Slow: ', WHOLE[:-1], WHOLE[: -len(BODY)]],
  ids=['nothing', 'line', 'headers', 'header', 'body', 'no body'],
)
def test_requests_that_stop_take_no_slot(sent):
  with serving() as server, clients(server, 8, sent):
    check_honest(server)


@pytest.mark.parametrize('sent', [b'', HEAD, WHOLE[:-1]])
def test_more_slow_clients_than_places(sent):
  """Those that came first lose their places."""
  with serving(max_connections=4) as server:
    with clients(server, 12, sent) as slow:
      check_honest(server)
      assert answer(slow[0])[0] in (None, 400)
    check_honest(server)


def test_no_place_is_lost():
  with serving(max_connections=2) as server:
    for sent in [b'', b'?\r\n\r\n', HEAD, WHOLE[:-1], WHOLE] * 3:
      with clients(server, 1, sent):
        check_honest(server)
  assert not server.connections._open


@pytest.mark.parametrize(
  'drips', [(b'', HEAD + b'X: ' + b'y' * 999), (WHOLE[:-99], WHOLE[-99:])]
)
def test_a_request_that_drips_has_one_deadline(drips):
  """Each byte comes in time, all of them do not."""
  whole, dripped = drips
  with (
    serving(seconds=SECONDS) as server,
    clients(server, 1, whole) as (client,),
  ):
    began = time.monotonic()
    client.settimeout(SECONDS / 20)
    said = b''
    for byte in dripped:
      with contextlib.suppress(BrokenPipeError, ConnectionError):
        client.sendall(bytes([byte]))
      try:
        said = client.recv(65536)
      except TimeoutError:
        continue
      break
    assert SECONDS / 2 < time.monotonic() - began < 15 * SECONDS
    assert said == b'' or said.startswith(b'HTTP/1.0 408')


def test_an_answer_that_is_not_taken_frees_the_slot():
  with serving(workers=1) as server, clients(server, 3, WHOLE):
    check_honest(server)


def test_a_judge_may_take_longer_than_a_request():
  """A judge that is slower than the deadline of a request is waited for."""

  def slow(prompts, answers):
    time.sleep(1.5 * SECONDS)
    return lengths(prompts, answers)

  with (
    serving(of_texts=slow, workers=1, seconds=SECONDS) as server,
    clients(server, 1, WHOLE) as (waiting,),
  ):
    assert answer(waiting)[0] == 200


def test_whole_requests_keep_their_places():
  """Where all wait for the judge, one more is turned away, none is dropped."""
  go = threading.Event()

  def judge(prompts, answers):
    go.wait(PATIENCE)
    return lengths(prompts, answers)

  with (
    serving(of_texts=judge, max_connections=2) as server,
    clients(server, 2, WHOLE) as first,
  ):
    ends = time.monotonic() + PATIENCE
    places = server.connections
    while len(places._open) < 2 or places._arriving:
      assert time.monotonic() < ends
      time.sleep(0.01)
    with clients(server, 1, b'') as late:
      assert answer(late[0]) == (None, b'')
    go.set()
    assert [answer(client)[0] for client in first] == [200, 200]


@pytest.mark.parametrize(
  ('sent', 'status'),
  [
    (HEAD + b'\r\n', 411),
    (HEAD + b'Content-Length: ' + b'9' * 5000 + b'\r\n\r\n', 411),
    (HEAD + b'Content-Length: 1_0\r\n\r\n', 411),
    (HEAD + b'Content-Length: +10\r\n\r\n', 411),
    (HEAD + b'Content-Length: \xb2\r\n\r\n', 411),
    (HEAD + b'Content-Length: 3\r\nContent-Length: 4\r\n\r\n{}  ', 411),
    (HEAD + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n', 411),
    (
      HEAD
      + b'Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n',
      411,
    ),
    (HEAD + b'Content-Length: 999999999999999999\r\n\r\n', 413),
    (HEAD + b'X: ' + b'y' * http_server.MAX_HEADER_BYTES + b'\r\n\r\n', 431),
    (HEAD + b'X: y\r\n' * (http_server.MAX_HEADER_BYTES // 6) + b'\r\n', 431),
    (b'GET /' + b'y' * 70_000 + b' HTTP/1.1\r\n\r\n', 414),
    (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400),
    (b'GET / HTTP/9.9\r\n\r\n', 505),
  ],
)
def test_sizes_are_limited(sent, status, capfd):
  with serving() as server:
    with clients(server, 1, sent) as (client,):
      with contextlib.suppress(OSError):  # The server may have closed already.
        client.shutdown(socket.SHUT_WR)
      got, said = answer(client)
      assert got in (status, None), said  # Only a line of HTTP gets one.
      assert b'"error": ' in said
    check_honest(server)
  assert 'Traceback' not in capfd.readouterr().err


def test_a_client_that_resets_is_no_error(capfd):
  with serving() as server:
    for sent in (b'', HEAD, WHOLE[:-1], WHOLE):
      with clients(server, 1, sent) as (client,):
        linger = (1).to_bytes(4, 'little') + (0).to_bytes(4, 'little')
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    check_honest(server)
  assert 'Traceback' not in capfd.readouterr().err
