"""Slow, silent and wrong clients against a server, and an honest one."""

from collections.abc import Callable
import contextlib
import socket
import threading
import time
from typing import Any

from mutations import of_bytes
import numpy as np

from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.rewards.remote.http_server import RewardServer
from adrpo_jax.rewards.text.protocol import TextPrompt

PROMPTS = (TextPrompt('?'),) * 2
BODY = wire.write_text_request(PROMPTS, ('a', 'bcd'))
REQUEST = (
  b'POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(BODY)
) + BODY
SECONDS = 20.0  # that the honest client waits for an answer, at most
OPEN = 100  # bad connections at once, more than the server has places


def run(count: int, seed: int, show: Callable[[str], None]) -> dict[str, Any]:
  """Counts bad clients, honest requests, and how long those waited."""
  rng = np.random.default_rng([seed, 99])
  waited: list[float] = []
  found: list[str] = []
  with (
    RewardServer(
      None, 'lengths', of_texts=lambda p, a: [len(x) for x in a], seconds=2.0
    ) as server,
    contextlib.ExitStack() as opened,
  ):
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    opened.callback(thread.join)
    opened.callback(server.shutdown)
    honest = remote(server.url, timeout=SECONDS, retries=0)
    bad: list[socket.socket] = []
    for number in range(count):
      bad.append(_bad(server.server_port, rng))
      if len(bad) > OPEN:
        bad.pop(0).close()
      if number % 20 == 19:
        began = time.monotonic()
        try:
          rewards = honest(PROMPTS, ('a', 'bcd')).tolist()
          if rewards != [1.0, 3.0]:
            found.append(f'{number}: {rewards}')
        except Exception as error:
          found.append(f'{number}: {type(error).__name__}: {error}')
        waited.append(time.monotonic() - began)
    for connection in bad:
      connection.close()
  show(f'clients: {count}, the honest one waited {max(waited):.2f} s at most')
  return {
    'bad clients': count,
    'honest requests': len(waited),
    'longest wait': round(max(waited), 3),
    'found': found,
  }


def _bad(port: int, rng: np.random.Generator) -> socket.socket:
  """A client that sends a part of a request, or a damaged one."""
  connection = socket.create_connection(('127.0.0.1', port), SECONDS)
  sent = REQUEST[: rng.integers(len(REQUEST))]
  if rng.random() < 0.5:
    sent = of_bytes(REQUEST, rng)
  with contextlib.suppress(OSError):
    connection.sendall(sent)
  return connection
