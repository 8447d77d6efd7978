"""A reward server: python -m adrpo_jax.rewards.server --reward=NAME --port=N.

It serves a host reward of the tables, of images or of texts, in the format of
`wire`, for runs on other machines and for models that must not share the
accelerator. It has no password and no TLS: at an address that others reach, put
a proxy with both in front of it.
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

  The kind of a request chooses the function: that of images, or of texts.
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
        [B], of which only 'reward' is sent; None judges no images.
      name: of the reward, for /health.
      of_texts: (B `TextPrompt`s, B answers) -> the like; None judges no texts.
      host: the address to listen on.
      port: 0 takes a free one; `url` has it.
      workers: requests that are read and judged at the same time; more wait.
        With 1 the function is never called by two threads at once.
      max_bytes: of a request; a longer one gets the status 413.
    """
    self.functions = {'samples': function, 'answers': of_texts}
    self.name, self.max_bytes = name, max_bytes
    self.slots = threading.BoundedSemaphore(workers)
    super().__init__((host, port), _Handler)
    self.url = f'http://{host}:{self.server_port}'  # for this machine


class _BadRequest(Exception):
  """A status and its message."""


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
        answer = self._judge(self._body())
    except _BadRequest as error:
      self.send_error(*error.args)
    else:
      self._send(200, answer)

  def send_error(self, code, message=None, explain=None) -> None:
    """Sends an error as JSON, also those that the base class raises."""
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
    """Drops a body not far over the limit, so that its sender reads why."""
    for _ in range(min(size, 4 * self.server.max_bytes) // 65536 + 1):
      if len(self.rfile.read(min(size, 65536))) < 65536:
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
    # A client that closed the connection is no error of the server.
    with contextlib.suppress(ConnectionError):
      self.send_response(status)
      self.send_header('Content-Type', 'application/json')
      self.send_header('Content-Length', str(len(body)))
      self.end_headers()
      self.wfile.write(body)


def main(argv: Sequence[str]) -> int:
  """Serves until it is interrupted. -> exit status; prints errors of input."""
  flags = _parser().parse_args(argv[1:])
  try:
    with _server(flags) as server:
      print(f'{flags.reward} at {server.url}', flush=True)
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
  add('--reward', required=True, help='one of the names below')
  add('--parameters', default='{}', help='of the reward, as a JSON object')
  add('--host', default='127.0.0.1', help='the address to listen on')
  add('--port', type=int, default=8000, help='0 takes a free one')
  add('--workers', type=int, default=4, help='requests judged at once')
  return parser


def _server(flags: argparse.Namespace) -> RewardServer:
  if flags.reward not in SERVED:
    raise unknown_name(flags.reward, SERVED, 'host reward')
  try:
    parameters = json.loads(flags.parameters)
  except ValueError:
    parameters = None
  if not isinstance(parameters, dict) or flags.workers < 1:
    raise InputError(
      'Expected --parameters of a JSON object and --workers of at least 1, got '
      f'{flags.parameters} and {flags.workers}.'
    )
  of_images, of_texts = (
    _host_function(table, flags.reward, parameters)
    for table in (REWARDS, TEXT_REWARDS)
  )
  try:
    return RewardServer(
      of_images,
      flags.reward,
      of_texts=of_texts,
      host=flags.host,
      port=flags.port,
      workers=flags.workers,
    )
  except (OSError, OverflowError) as error:
    raise InputError(
      f'Expected an address that is free, got {flags.host}:{flags.port}: '
      f'{error}. Choose another --port, or 0 for any.'
    ) from error


def _host_function(
  table: Table, name: str, parameters: Mapping[str, Any]
) -> HostFunction | None:
  row = table.get(name)
  return call(name, row.host, **parameters) if row and row.host else None


if __name__ == '__main__':
  sys.exit(main(sys.argv))
