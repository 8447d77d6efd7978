"""Paths on this machine, as people write them: relative, or behind a `~`."""

from collections.abc import Sequence
import os
import pathlib

from ml_collections import ConfigDict

from adrpo_jax.errors import InputError
from adrpo_jax.system import user_code
from adrpo_jax.system.files import in_bucket

# Last words of the config keys whose values may be paths.
KEYS = ('path', 'source', 'eval_prompts', 'pairs', 'tokenizer', 'head', 'base')


def expanded(path: str) -> str:
  """Returns a path with the home folder for its `~`.

  Raises:
    InputError: there is no such home folder.
  """
  if not path.startswith('~'):
    return path
  whole = os.path.expanduser(path)
  if whole.startswith('~'):
    raise InputError(
      f'Expected a path, got {path}, but this user has no home folder that '
      'stands for ~. Set HOME, or write the whole path.'
    )
  return whole


def absolute(path: str, current: str = '') -> str:
  """Returns the absolute path of what is on this machine.

  `current` is the folder that relative paths are read from, by default that of
  this process. All else stays as it is: a bucket, a model's id, tfds:NAME.
  """
  whole = expanded(path)
  joined = os.path.join(current, whole)
  if not path or in_bucket(path) or not os.path.exists(joined):
    return whole
  return os.path.abspath(joined)


def make_absolute(config: ConfigDict) -> None:
  """Makes all paths of a config absolute, so that it holds in any folder."""
  for name, value in config.items():
    if isinstance(value, ConfigDict):
      make_absolute(value)
    elif name in KEYS and isinstance(value, str):
      config[name] = absolute(value)


def portable(key: str, value: object, folders: Sequence[str]) -> object:
  """Returns the value of a config key as another machine would have it.

  The first of `folders` is the one that relative paths are read from. A file
  below one of the others, which the next machine has elsewhere, is named
  relative to it.
  """
  kind = key.rpartition('.')[2]
  if not isinstance(value, str):
    return value
  if kind == 'python' and value:
    calls = user_code.read_calls(value, key)
    return [(_portable(c.place, folders), c.name, c.arguments) for c in calls]
  return _portable(value, folders) if kind in KEYS else value


def _portable(path: str, folders: Sequence[str]) -> str:
  current, *others = folders
  whole = pathlib.Path(absolute(path, current))
  for folder in others:
    if whole.is_absolute() and whole.is_relative_to(folder):
      return whole.relative_to(folder).as_posix()
  return os.fspath(whole) if whole.is_absolute() else path
