"""The reward of another process: a host function that requests it over HTTP.

The time of a batch is at most (retries + 1)·timeout and the waits between, see
`exchange.waits`. At most `workers` requests of a `HostReward` are in flight.
"""

from collections.abc import Callable, Sequence
from functools import partial
import math
from typing import Any, TypeVar
import zlib

import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.remote.address import Address, address
from adrpo_jax.rewards.remote.exchange import (
  ExchangeError,
  exchange,
  retry,
  waits,
)
from adrpo_jax.rewards.remote.image_encodings import named_encoding
from adrpo_jax.rewards.remote.tokens import read_token

Read = TypeVar('Read')


def remote(
  url: str,
  *,
  timeout: float = 30.0,
  retries: int = 5,
  backoff: float = 1.0,
  encoding: str = 'png',
  token_from: str = '',
) -> Callable[[Sequence[Any], Any], np.ndarray]:
  """The score of a reward server at `url`, over HTTP.

  `wire` has the format; `python -m adrpo_jax.rewards.server` is a server of it.
  The server is asked for its health at once, so that a run does not start
  without it.

  Args:
    url: of the server, http://HOST:PORT, with /score and /health below it.
    timeout: seconds for one attempt, from its first byte to its last.
    retries: further attempts where the server is away, late, or answers with a
      status of 500 and above; 5 retries with a backoff of 1 outlast an absence
      of 15 s.
    backoff: seconds before the second attempt, doubled for each further one.
    encoding: of images, 'png' for fewer bytes or 'npy' for less work.
    token_from: the name of the environment variable with a token, which is
      sent as 'Authorization: Bearer TOKEN' and never shown; '' sends none. With
      a token, no message repeats a word of the server.

  Returns:
    (texts, images [B, H, W, 3] uint8), or (B `TextPrompt`s, B answers), ->
    [B] float64, NaN where the server answered null. It raises ExchangeError or
    WireError where there is no answer, and `HostReward` then counts the batch
    as invalid. Measures of a reward are not sent.

  Raises:
    InputError: bad parameters, or no reward server at the url.
  """
  at = address(url)
  named_encoding(encoding)
  if not 0 < timeout < math.inf or retries < 0 or not 0 <= backoff < math.inf:
    raise InputError(
      'Expected timeout above 0, retries and backoff of at least 0 of the '
      f'reward at {at.url}, got {timeout}, {retries} and {backoff}.'
    )
  token = read_token(token_from)
  ask = partial(exchange, at, token=token, timeout=timeout)
  read = partial(_read, at, token)
  _check_health(at, partial(ask, '/health', limit=wire.answer_limit(1)), read)

  def reward(prompts: Sequence[Any], samples: Any) -> np.ndarray:
    if isinstance(samples, np.ndarray):
      body = wire.write_request(prompts, samples, encoding)
    else:
      body = wire.write_text_request(prompts, samples)
    limit = wire.answer_limit(len(prompts))
    share = zlib.crc32(body) / 2**32  # jitter that is equal in a repeated run
    answer = retry(
      partial(ask, '/score', body, limit=limit), waits(retries, backoff, share)
    )
    return read(lambda: wire.read_answer(answer, len(prompts)))

  return reward


def _check_health(
  at: Address,
  ask: Callable[[], bytes],
  read: Callable[[Callable[[], str]], str],
) -> None:
  try:
    health = ask()
    read(lambda: wire.read_health(health))
  except (ExchangeError, wire.WireError) as error:
    raise InputError(
      f'Expected a reward server at {at.url}, got from {at.url}/health: '
      f'{error}. Start it (python -m adrpo_jax.rewards.server --help), or '
      'correct the url of the reward.'
    ) from error


def _read(at: Address, token: str, reader: Callable[[], Read]) -> Read:
  """Returns reader(), whose errors repeat no answer to a token."""
  try:
    return reader()
  except wire.WireError:
    if not token:
      raise
  raise wire.WireError(
    f'{at.url} answered in another format than that of `rewards.remote.wire`; '
    'its words are not shown, since a token was sent'
  )
