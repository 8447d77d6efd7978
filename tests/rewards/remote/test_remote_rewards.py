"""Remote rewards against servers on loopback that fail in every known way."""

import contextlib
import http.server
import json
import re
import threading
import time

import jax.numpy as jnp
import made_answers
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.host.host_reward import HostReward
from adrpo_jax.rewards.host.image_view import IMAGES
from adrpo_jax.rewards.host.text_view import text_view
from adrpo_jax.rewards.remote import exchange, wire
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.rewards.text.protocol import TextPrompt
from adrpo_jax.types import PromptBatch

TIMEOUT = 0.2
TEXTS = ('zero', 'one')
QUICK = {'timeout': TIMEOUT, 'retries': 2, 'backoff': 0.02}


class Faulty(http.server.ThreadingHTTPServer):
  """Answers POST /score as `behave(handler, texts, levels, attempt)` says."""

  daemon_threads = True

  def __init__(self, behave, port=0):
    self.behave, self.seen, self.headers = behave, [], []
    self.lock = threading.Lock()
    super().__init__(('127.0.0.1', port), Handler)
    self.url = f'http://127.0.0.1:{self.server_port}'
    threading.Thread(target=self.serve_forever, args=(0.01,)).start()

  def close(self):
    self.shutdown()
    self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    self.server.headers.append(self.headers)
    self.say(200, wire.write_health('faulty'))

  def do_POST(self):
    body = self.rfile.read(int(self.headers['Content-Length']))
    texts, samples = wire.read_request(body)
    if isinstance(samples, np.ndarray):
      levels = samples[:, 0, 0, 0]
    else:
      levels = np.array([int(answer) for answer in samples])
    with self.server.lock:
      self.server.seen.append(body)
      attempt = self.server.seen.count(body)
    with contextlib.suppress(ConnectionError):
      self.server.behave(self, texts, levels, attempt)

  def say(self, status, body, length=None):
    self.send_response(status)
    self.send_header('Content-Length', str(length or len(body)))
    self.end_headers()
    self.wfile.write(body)

  def log_message(self, *_):
    pass


@pytest.fixture
def serve():
  with contextlib.ExitStack() as stack:

    def start(behave, port=0):
      server = Faulty(behave, port)
      stack.callback(server.close)
      return server

    yield start


@pytest.fixture
def images():
  """P=2, G=3; the pixels of sample (p, g) are 10·p + g."""
  level = (10 * np.arange(2)[:, None] + np.arange(3)).astype(np.uint8)
  return jnp.asarray(
    np.broadcast_to(level[..., None, None, None], (2, 3, 2, 2, 3))
  )


@pytest.fixture
def answers():
  """P=2, G=3; sample (p, g) says 10·p + g."""
  said = [[str(10 * p + g) for g in range(3)] for p in range(2)]
  return made_answers.samples(said)


def honest(handler, texts, levels, attempt):
  handler.say(200, wire.write_answer(levels.astype(float)))


def rewards(*numbers):
  """A server that answers with these, whatever was asked."""
  body = json.dumps({'version': 2, 'rewards': numbers}).encode()
  return lambda handler, *_: handler.say(200, body)


def status(code, until=99):
  """A server that answers with a status before the attempt `until`."""

  def behave(handler, texts, levels, attempt):
    if attempt < until:
      handler.say(code, wire.write_error('not now'))
    else:
      honest(handler, texts, levels, attempt)

  return behave


def stall(handler, *_):
  time.sleep(2 * TIMEOUT)
  handler.say(200, wire.write_answer(np.zeros(1)))


def drip(handler, *_):
  """Each byte comes in time, all of them do not."""
  handler.say(200, b' ', length=1000)
  for _ in range(20):
    time.sleep(TIMEOUT / 4)
    handler.wfile.write(b' ')


def drop_half_way(handler, texts, levels, attempt):
  body = wire.write_answer(levels.astype(float))
  handler.say(200, body[: len(body) // 2], length=len(body))
  handler.close_connection = True


def drop_at_once(handler, *_):
  handler.close_connection = True


def say(body):
  return lambda handler, *_: handler.say(200, body)


def judge(server, images, *, batch_size=1, limit=1.0, **options):
  of_text = isinstance(images, dict)
  function = remote(server.url, **(QUICK | options))
  reward = HostReward(
    function,
    tuple(map(TextPrompt, TEXTS)) if of_text else TEXTS,
    name='far',
    batch_size=batch_size,
    workers=3,
    invalid_limit=limit,
    view=text_view(made_answers.decode) if of_text else IMAGES,
  )
  return reward(PromptBatch.of_step(np.arange(2)), images), reward


@pytest.mark.parametrize('encoding', ['png', 'npy'])
def test_scores_are_those_of_the_server(encoding, serve, images):
  server = serve(honest)
  scores, _ = judge(server, images, batch_size=2, encoding=encoding)
  np.testing.assert_array_equal(scores.rewards, [[0, 1, 2], [10, 11, 12]])
  assert scores.valid.all()
  assert len(server.seen) == 3


@pytest.mark.parametrize(
  ('fault', 'attempts', 'reason'),
  [
    (stall, 3, 'did not answer within 0.2 s'),
    (drip, 3, 'did not answer within 0.2 s'),
    (status(500), 3, 'answered 500 .*not now'),
    (status(503), 3, 'answered 503'),
    (status(400), 1, 'answered 400 .*not now'),
    (status(429), 1, 'answered 429'),
    (status(302), 1, 'answered 302'),
    (drop_at_once, 3, 'RemoteDisconnected'),
    (drop_half_way, 3, 'IncompleteRead'),
    (rewards(), 1, 'expected 1 numbers'),
    (rewards(1, 2), 1, 'expected 1 numbers'),
    (rewards('good'), 1, "numbers or null, got 'good'"),
    (rewards(True), 1, 'numbers or null, got True'),
    (rewards(float('nan')), 1, 'returned nan'),
    (rewards(10**400), 1, 'a float can hold'),
    (say(b'<html>'), 1, 'expected JSON'),
    (say(b'[1.0]'), 1, 'expected a JSON object'),
    (say(b'{"version": 1, "rewards": [1]}'), 1, '"version": 2'),
    (say(b' ' * 100_000), 1, 'more than 4160 bytes'),
  ],
)
def test_a_fault_costs_its_own_sample(fault, attempts, reason, serve, images):
  check_fault(fault, attempts, reason, serve, images)


@pytest.mark.parametrize(
  ('fault', 'attempts', 'reason'),
  [
    (status(503), 3, 'answered 503'),
    (rewards(1, 2), 1, 'expected 1 numbers'),
    (drop_half_way, 3, 'IncompleteRead'),
  ],
)
def test_a_fault_costs_its_own_answer(fault, attempts, reason, serve, answers):
  check_fault(fault, attempts, reason, serve, answers)


def check_fault(fault, attempts, reason, serve, images):
  """Sample (1, 1) meets the fault; the five others do not."""

  def behave(handler, texts, levels, attempt):
    answer = fault if levels[0] == 11 else honest
    answer(handler, texts, levels, attempt)

  server = serve(behave)
  began = time.monotonic()
  scores, reward = judge(server, images)
  assert time.monotonic() - began < 3 * TIMEOUT + 0.06 + 1.5
  np.testing.assert_array_equal(scores.valid, [[1, 1, 1], [1, 0, 1]])
  np.testing.assert_array_equal(scores.rewards, [[0, 1, 2], [10, 0, 12]])
  assert len(server.seen) == 5 + attempts
  assert (reward.num_judged, reward.num_invalid) == (6, 1)
  assert re.search(reason, reward.last_failure), reward.last_failure


@pytest.mark.parametrize('kind', ['images', 'answers'])
def test_null_costs_one_sample_of_a_batch(kind, serve, images, answers):
  def behave(handler, texts, levels, attempt):
    numbers = np.where(levels == 2, np.nan, levels)
    handler.say(200, wire.write_answer(numbers))

  server = serve(behave)
  seen = {'images': images, 'answers': answers}[kind]
  scores, _ = judge(server, seen, batch_size=6)
  np.testing.assert_array_equal(scores.valid, [[1, 1, 0], [1, 1, 1]])
  np.testing.assert_array_equal(scores.rewards, [[0, 1, 0], [10, 11, 12]])
  assert len(server.seen) == 1


def test_a_server_that_recovers_costs_nothing(serve, images):
  server = serve(status(503, until=3))
  scores, _ = judge(server, images, batch_size=3)
  assert scores.valid.all()
  assert len(server.seen) == 2 * 3


def test_a_server_that_restarts_costs_nothing(serve, images):
  first = serve(honest)
  function = remote(first.url, timeout=TIMEOUT, retries=6, backoff=0.1)
  first.close()
  back = []
  timer = threading.Timer(
    0.3, lambda: back.append(serve(honest, first.server_port))
  )
  timer.start()
  began = time.monotonic()
  numbers = function(('one',), np.asarray(images[1, :1]))
  assert 0.3 <= time.monotonic() - began < 3
  np.testing.assert_array_equal(numbers, [10])
  timer.join()
  assert len(back[0].seen) == 1
  assert not first.seen


def test_a_server_that_stays_away_costs_its_time_and_no_more(serve, images):
  server = serve(honest)
  function = remote(server.url, **QUICK)
  server.close()
  began = time.monotonic()
  with pytest.raises(exchange.NoConnection, match=server.url):
    function(('one',), np.asarray(images[1, :1]))
  assert time.monotonic() - began < 3 * TIMEOUT + 0.06 + 1


def test_no_more_requests_in_flight_than_workers(serve, images):
  lock, inside, most = threading.Lock(), [0], [0]

  def behave(handler, texts, levels, attempt):
    with lock:
      inside[0] += 1
      most[0] = max(most[0], inside[0])
    time.sleep(0.05)
    with lock:
      inside[0] -= 1
    honest(handler, texts, levels, attempt)

  scores, _ = judge(serve(behave), images, timeout=5.0)
  assert scores.valid.all()
  assert 2 <= most[0] <= 3


def test_waits_double_up_to_a_bound():
  assert exchange.waits(3, 1.0, 0.0) == [0.5, 1.0, 2.0]
  assert exchange.waits(2, 1.0, 0.5) == [0.75, 1.5]
  assert exchange.waits(100, 1.0, 0.0)[-1] == exchange.MAX_WAIT / 2


def test_the_token_comes_from_the_environment(serve, monkeypatch):
  server = serve(honest)
  monkeypatch.setenv('FAR_TOKEN', 's3cret')
  remote(server.url, token_from='FAR_TOKEN')
  assert server.headers[0]['Authorization'] == 'Bearer s3cret'
  monkeypatch.setenv('FAR_TOKEN', 's3cret\nX-Other: 1')
  with pytest.raises(InputError, match='FAR_TOKEN') as caught:
    remote(server.url, token_from='FAR_TOKEN')
  assert 's3cret' not in str(caught.value)
  monkeypatch.delenv('FAR_TOKEN')
  with pytest.raises(InputError, match='empty or not set'):
    remote(server.url, token_from='FAR_TOKEN')


@pytest.mark.parametrize(
  ('url', 'options', 'message'),
  [
    ('localhost:8000', {}, 'http://HOST:PORT'),
    ('ftp://localhost', {}, 'http://HOST:PORT'),
    ('http://localhost:port', {}, 'http://HOST:PORT'),
    ('http://me:word@localhost', {}, 'token_from'),
    ('http://localhost', {'timeout': float('inf')}, 'timeout above 0'),
    ('http://localhost', {'encoding': 'jpeg'}, 'encoding'),
    ('http://localhost', {'timeout': 0}, 'timeout above 0'),
    ('http://localhost', {'retries': -1}, 'retries'),
  ],
)
def test_bad_options_are_refused(url, options, message):
  with pytest.raises(InputError, match=message):
    remote(url, **options)


def test_a_run_does_not_start_without_its_server(serve):
  server = serve(honest)
  server.close()
  with pytest.raises(InputError, match=f'{server.url}.*Start it'):
    remote(server.url, timeout=TIMEOUT)
