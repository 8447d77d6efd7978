"""The reward of another process: a host function that requests it over HTTP.

The time of a batch is at most (retries + 1)·timeout and the waits between, see
`exchange.waits`. At most `workers` requests of a `HostReward` are in flight.
"""

from collections.abc import Callable, Sequence
from functools import partial
import os
from typing import Any
import zlib

import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.remote import wire
from adrpo_jax.rewards.remote.exchange import (
  Address,
  ExchangeError,
  address,
  exchange,
  retry,
  waits,
)
from adrpo_jax.rewards.remote.image_encodings import named_encoding


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
    timeout: seconds for one attempt.
    retries: further attempts where the server is away, late, or answers with a
      status of 500 and above; 5 retries with a backoff of 1 outlast an absence
      of 15 s.
    backoff: seconds before the second attempt, doubled for each further one.
    encoding: of images, 'png' for fewer bytes or 'npy' for less work.
    token_from: the name of the environment variable with a token, which is
      sent as 'Authorization: Bearer TOKEN' and never shown; '' sends none.

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
  if not timeout > 0 or retries < 0 or not backoff >= 0:
    raise InputError(
      'Expected timeout above 0, retries and backoff of at least 0 of the '
      f'reward at {at.url}, got {timeout}, {retries} and {backoff}.'
    )
  ask = partial(exchange, at, headers=_headers(token_from), timeout=timeout)
  _check_health(at, partial(ask, '/health', limit=wire.answer_limit(1)))

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
    return wire.read_answer(answer, len(prompts))

  return reward


def _check_health(at: Address, ask: Callable[[], bytes]) -> None:
  try:
    wire.read_health(ask())
  except (ExchangeError, wire.WireError) as error:
    raise InputError(
      f'Expected a reward server at {at.url}, got from {at.url}/health: '
      f'{error}. Start it (python -m adrpo_jax.rewards.server --help), or '
      'correct the url of the reward.'
    ) from error


def _headers(variable: str) -> dict[str, str]:
  """The header with the token in an environment variable."""
  if not variable:
    return {}
  token = os.environ.get(variable, '').strip()
  if not token or not token.isascii() or not token.isprintable():
    raise InputError(
      'Expected a token, printable ASCII, in the environment variable '
      f'{variable!r}, which token_from names; it is '
      f'{"not usable" if token else "empty or not set"}.'
    )
  return {'Authorization': f'Bearer {token}'}
