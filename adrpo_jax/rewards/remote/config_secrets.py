"""No config holds a secret: it is written to config.json, reports and W&B."""

from collections.abc import Iterator, Mapping
import os
import re
from typing import Any

from adrpo_jax.errors import InputError

# What may come before a host: user and password. Then what may follow a path.
_WITH_USER = re.compile(r'(?i)\s*[a-z][a-z0-9+.-]*://[^/?#\s]*@\S*\s*')
_WITH_MORE = re.compile(r'(?i)\s*https?://\S*[@?#]\S*\s*')


def check_no_secrets(config: Mapping[str, Any]) -> None:
  """Checks a config, flattened to dotted keys, used or not.

  Raises:
    InputError: a url with a user, a password, a query or a fragment, or a
      token where the name of its environment variable is expected. The value is
      not shown.
  """
  for key, value in config.items():
    word = key.rpartition('.')[2]
    for text in _texts(value):
      if (
        _WITH_USER.fullmatch(text)
        or _WITH_MORE.fullmatch(text)
        or (word == 'url' and set(text) & set('@?#'))
      ):
        raise InputError(
          f'Expected config.{key} to be a url without user, password, query '
          'and fragment, since configs are written to config.json, reports and '
          'W&B. A secret of a reward server goes into an environment variable: '
          'see token_from.'
        )
      if word == 'token_from' and not _names_a_variable(text):
        raise InputError(
          f'Expected config.{key} to be the name of an environment variable '
          'that holds the token, like REWARD_TOKEN, not the token itself.'
        )


def _texts(value: Any) -> Iterator[str]:
  if isinstance(value, str):
    yield value
  elif isinstance(value, list | tuple):
    for item in value:
      yield from _texts(item)


def _names_a_variable(text: str) -> bool:
  """Tells if a text is a variable that is set, or looks like the name of one.

  A run is exported, say, on a machine where the variable is not set.
  """
  return text in ('', *os.environ) or bool(
    re.fullmatch('[A-Z_][A-Z0-9_]*', text)
  )
