"""A reward server: python -m adrpo_jax.rewards.server --reward=NAME --port=N.

It serves a host reward of the tables, of images or of texts, in the format of
`wire`, for runs on other machines and for models that must not share the
accelerator. At an address that others reach it asks for a token. It has no TLS:
where others can listen, put a proxy with it in front of the server.
"""

import argparse
from collections.abc import Mapping, Sequence
import contextlib
import json
import sys
from typing import Any

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.rewards.host.host_reward import HostFunction
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.rewards.remote.http_server import RewardServer
from adrpo_jax.rewards.remote.tokens import read_token
from adrpo_jax.rewards.table import Table, call, descriptions
from adrpo_jax.rewards.text_table import TEXT_REWARDS

# The rows that a server can serve: a function on the host judges.
SERVED: Table = {
  name: row for name, row in (TEXT_REWARDS | REWARDS).items() if row.host
}


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
  add(
    '--token-from',
    default='',
    metavar='NAME',
    help='environment variable with the token that every request must have; '
    'needed where --host is not an address of this machine alone',
  )
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
      token=read_token(flags.token_from),
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
