"""A reward server: python -m adrpo_jax.rewards.server --reward=NAME --port=N.

Serves a host reward of the tables, of images or of texts, in the format of
`wire`, for runs on other machines and for models that must not share the
accelerator. It has no password and no TLS: on an address that others reach, put
a proxy with both before it.
"""

import argparse
from collections.abc import Mapping, Sequence
import contextlib
import http.server
import json
import sys
import threading
from typing import Any

from absl import logging
import numpy as np

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.rewards.host.host_reward import HostFunction
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.table import Table, call, descriptions
from adrpo_jax.rewards.text_table import TEXT_REWARDS

# The rows that a server can serve: a function on the host judges.
SERVED: Table = {
  name: row for name, row in (TEXT_REWARDS | REWARDS).items() if row.host
}
MAX_BYTES = 2**26  # of a request


class RewardServer(http.server.ThreadingHTTPServer):
  """Answers POST /score with a host function, and GET /health with its name.

  What a request holds chooses the function: that of images, or of texts.
  """

  daemon_threads = True

  def __init__(
    self,
    function: HostFunction | None,
    name: str,
    *,
    of_texts: HostFunction | None = None,
    host: str = '127.0.0.1',
    port: int = 0,
    workers: int = 4,
    max_bytes: int = MAX_BYTES,
  ):
    """Listens; `serve_forever` answers.

    Args:
      function: (texts, images [B, H, W, 3] uint8) -> [B] numbers, or name ->
        [B], of which 'reward' is sent; None judges no images.
      name: of the reward, for /health.
      of_texts: (B `TextPrompt`s, B answers) -> the same; None judges no texts.
      host: the address to listen on.
      port: 0 takes a free one; `url` tells which.
      workers: requests that are read and judged at the same time; more wait.
        With 1 the function is never called twice at once.
      max_bytes: of a request; a longer one is answered with 413.
    """
    self.functions = {'samples': function, 'answers': of_texts}
    self.name, self.max_bytes = name, max_bytes
    self.slots = threading.BoundedSemaphore(workers)
    super().__init__((host, port), _Handler)
    self.url = f'http://{host}:{self.server_port}'  # for this machine


class _BadRequest(Exception):
  """A status and what to say with it."""


class _Handler(http.server.BaseHTTPRequestHandler):
  """One connection."""

  server: RewardServer
  timeout = 60  # seconds that a client may be silent

  def do_GET(self) -> None:
    if self.path == '/health':
      self._send(200, wire.write_health(self.server.name))
    else:
      self.send_error(404, 'expected GET /health or POST /score')

  def do_POST(self) -> None:
    try:
      if self.path != '/score':
        raise _BadRequest(404, 'expected GET /health or POST /score')
      with self.server.slots:
        answer = self._judged(self._body())
    except _BadRequest as error:
      self.send_error(*error.args)
    else:
      self._send(200, answer)

  def send_error(self, code, message=None, explain=None) -> None:
    """An error as JSON, those that the base class finds included."""
    self.close_connection = True
    self._send(code, wire.write_error(message or self.responses[code][0]))

  def log_message(self, format, *args) -> None:  # noqa: A002 (its name)
    logging.debug('%s ' + format, self.address_string(), *args)

  def _body(self) -> bytes:
    stated = self.headers.get('Content-Length', '')
    if not (stated.isascii() and stated.isdigit()):
      raise _BadRequest(411, 'expected Content-Length')
    size = int(stated)
    if size > self.server.max_bytes:
      self._pass_over(size)
      raise _BadRequest(
        413,
        f'expected at most {self.server.max_bytes} bytes, got {size}: send '
        'fewer samples in a request (batch_size)',
      )
    body = self.rfile.read(size)
    if len(body) < size:
      raise _BadRequest(400, f'expected {size} bytes, got {len(body)}')
    return body

  def _pass_over(self, size: int) -> None:
    """Lets a sender that is not far over the limit finish, and so read why."""
    for _ in range(min(size, 4 * self.server.max_bytes) // 65536 + 1):
      if len(self.rfile.read(min(size, 65536))) < 65536:
        break

  def _judged(self, body: bytes) -> bytes:
    try:
      told, samples = wire.read_request(body)
    except wire.WireError as error:
      raise _BadRequest(400, str(error)) from error
    kind = 'samples' if isinstance(samples, np.ndarray) else 'answers'
    function = self.server.functions[kind]
    if function is None:
      raise _BadRequest(
        400, f'the reward {self.server.name!r} does not judge {kind!r}'
      )
    try:
      found = function(told, samples)
      if isinstance(found, Mapping):
        found = found['reward']
      rewards = np.asarray(found, np.float64)
      if rewards.shape != (len(told),):
        raise ValueError(
          f'expected rewards of shape {(len(told),)}, got {rewards.shape}'
        )
    except Exception as error:  # Any: it is not our code, and is reported.
      logging.exception('The reward %r failed.', self.server.name)
      raise _BadRequest(500, f'{type(error).__name__}: {error}') from error
    return wire.write_answer(rewards)

  def _send(self, status: int, body: bytes) -> None:
    # A client that has given up is no error of the server.
    with contextlib.suppress(ConnectionError):
      self.send_response(status)
      self.send_header('Content-Type', 'application/json')
      self.send_header('Content-Length', str(len(body)))
      self.end_headers()
      self.wfile.write(body)


def main(argv: Sequence[str]) -> int:
  """Serves until it is interrupted. -> exit status; bad input is told."""
  given = _parser().parse_args(argv[1:])
  try:
    with _server(given) as server:
      print(f'{given.reward} at {server.url}', flush=True)
      with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='python -m adrpo_jax.rewards.server',
    formatter_class=argparse.RawDescriptionHelpFormatter,
    description='Serves a reward over HTTP.',
    epilog=f'rewards:\n{descriptions(SERVED)}',
  )
  add = parser.add_argument
  add('--reward', required=True, help='a name of those below')
  add('--parameters', default='{}', help='of the reward, as a JSON object')
  add('--host', default='127.0.0.1', help='the address to listen on')
  add('--port', type=int, default=8000, help='0 takes a free one')
  add('--workers', type=int, default=4, help='requests judged at once')
  return parser


def _server(given: argparse.Namespace) -> RewardServer:
  if given.reward not in SERVED:
    raise unknown_name(given.reward, SERVED, 'host reward')
  try:
    parameters = json.loads(given.parameters)
  except ValueError:
    parameters = None
  if not isinstance(parameters, dict) or given.workers < 1:
    raise InputError(
      'Expected --parameters of a JSON object and --workers of at least 1, got '
      f'{given.parameters} and {given.workers}.'
    )
  of_images, of_texts = (
    _host_function(table, given.reward, parameters)
    for table in (REWARDS, TEXT_REWARDS)
  )
  try:
    return RewardServer(
      of_images,
      given.reward,
      of_texts=of_texts,
      host=given.host,
      port=given.port,
      workers=given.workers,
    )
  except (OSError, OverflowError) as error:
    raise InputError(
      f'Expected an address that is free, got {given.host}:{given.port}: '
      f'{error}. Choose another --port, or 0 for any.'
    ) from error


def _host_function(
  table: Table, name: str, parameters: Mapping[str, Any]
) -> HostFunction | None:
  row = table.get(name)
  return call(name, row.host, **parameters) if row and row.host else None


if __name__ == '__main__':
  sys.exit(main(sys.argv))
