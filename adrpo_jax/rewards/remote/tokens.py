"""The token of a reward server: where it comes from, and how it is compared.

A token comes from an environment variable, whose name alone stands in configs
and commands. No message contains one, nor the text of a server that has seen
one: a server may repeat what it was sent, whole or in part.
"""

import hmac
import os

from adrpo_jax.errors import InputError


def read_token(variable: str) -> str:
  """Returns the token in the environment variable `variable`; '' for ''.

  Raises:
    InputError: no such variable, or one that no header can carry. A name that
      is not that of a variable is not shown: it may be the token itself.
  """
  if not variable:
    return ''
  if variable not in os.environ:
    raise InputError(
      'Expected token_from to be the name of an environment variable with a '
      'token, but the variable of that name is empty or not set. (The name is '
      'not shown, in case it is the token.) Run `export NAME=TOKEN`.'
    )
  token = os.environ[variable].strip()
  if not token or not token.isascii() or not token.isprintable():
    raise InputError(
      'Expected a token, printable ASCII, in the environment variable '
      f'{variable!r}, which token_from names; it is '
      f'{"not usable" if token else "empty or not set"}.'
    )
  return token


def header(token: str) -> dict[str, str]:
  """Returns the header that carries a token; none for ''."""
  return {'Authorization': f'Bearer {token}'} if token else {}


def allows(token: str, authorization: str | None) -> bool:
  """Tells if a request with this header may pass.

  The time of the comparison says nothing of the token.
  """
  if not token:
    return True
  got = (authorization or '').encode(errors='replace')
  return hmac.compare_digest(got, header(token)['Authorization'].encode())
