"""Functions of a user's own files, by the text that a config names them with.

my_rewards.py:brevity                     a file, from the current folder
my_package.rewards:brevity                a module that can be imported
my_rewards.py:brevity(length=40)          with keyword arguments, literals
my_rewards.py:brevity,my_rewards.py:tone  several
"""

import ast
from collections.abc import Callable
import functools
import importlib
import importlib.util
import os
import pathlib
import re
import sys
import types
from typing import Any, NamedTuple

from adrpo_jax.errors import InputError, did_you_mean
from adrpo_jax.system.config_values import FINITE

FORM = 'FILE.py:NAME or MODULE:NAME, with (KEY=VALUE, ...) behind it if needed'


class Call(NamedTuple):
  """A function by where it stands and its name, with keyword arguments."""

  place: str
  name: str
  arguments: dict[str, Any]

  def __str__(self) -> str:
    return f'{self.place}:{self.name}'


def read_calls(text: str, key: str) -> list[Call]:
  """Reads the value of a config key, calls joined by commas.

  Raises:
    InputError: text of another form, or two functions of one name.
  """
  calls = [_read_call(part, key) for part in _split(text)]
  names = [call.name for call in calls]
  doubled = sorted({name for name in names if names.count(name) > 1})
  if doubled:
    raise InputError(
      f'Expected functions of different names in --config.{key}, got '
      f'{doubled[0]!r} twice. Give one of them another name.'
    )
  return calls


def read_arguments(text: str, key: str) -> dict[str, Any]:
  """Reads the value of a config key, keyword arguments joined by commas.

  >>> read_arguments("enable_thinking=False, tone='calm'", 'model.arguments')
  {'enable_thinking': False, 'tone': 'calm'}

  Raises:
    InputError: text of another form.
  """
  return _literals(f'({text})', text, key)


def load(call: Call, key: str) -> Callable[..., Any]:
  """Imports the file or module of a call and returns its function.

  A file is imported once, and again when it has changed. Its folder joins the
  end of the path of imports, so that it can import its neighbors.

  Raises:
    InputError: no such file, module or name, or one that cannot be called; an
      import that raises.
  """
  try:
    module = _module(call.place)
  except InputError:
    raise
  except Exception as error:  # Any: it is the user's code.
    raise InputError(
      f'Expected a Python file or module that can be imported in --config.{key}'
      f', got {call.place}, which raises {type(error).__name__}: {error}.'
    ) from error
  attribute = getattr(module, call.name, None)
  if not callable(attribute):
    names = [name for name, value in vars(module).items() if callable(value)]
    raise InputError(
      f'Expected a function {call.name!r} in {call.place}, of --config.{key}, '
      f'got {"none" if attribute is None else type(attribute).__name__}.'
      f'{did_you_mean(call.name, names)}'
    )
  return attribute


def _split(text: str) -> list[str]:
  """Cuts at commas that are outside of brackets and quotes."""
  parts, depth, quote = [''], 0, ''
  for letter in text:
    if quote:
      quote = '' if letter == quote else quote
    elif letter in '\'"':
      quote = letter
    else:
      depth += (letter in '([{') - (letter in ')]}')
    if letter == ',' and not depth and not quote:
      parts.append('')
    else:
      parts[-1] += letter
  return [part.strip() for part in parts if part.strip()]


def _read_call(text: str, key: str) -> Call:
  matched = re.fullmatch(r'(.+?):([A-Za-z_]\w*)\s*(\(.*\))?', text, re.DOTALL)
  if not matched:
    raise InputError(f'Expected {FORM}, in --config.{key}, got {text!r}.')
  place, name, arguments = matched.groups()
  return Call(place, name, _literals(arguments or '()', text, key))


def _literals(arguments: str, text: str, key: str) -> dict[str, Any]:
  try:
    call = ast.parse(f'dict{arguments}', mode='eval').body
    if not isinstance(call, ast.Call) or call.args:
      raise ValueError('not keyword arguments alone')
    given = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    if not all(map(FINITE.includes, given.values())):
      raise ValueError('not finite')
    return given
  except (SyntaxError, ValueError) as error:
    raise InputError(
      f'Expected keyword arguments that are literals, numbers finite, such as '
      f"(length=40, tone='calm'), in --config.{key}, got {text!r}."
    ) from error


def _module(place: str) -> types.ModuleType:
  if not place.endswith('.py'):
    return importlib.import_module(place)
  path = pathlib.Path(place).expanduser().resolve()
  if not path.is_file():
    raise InputError(
      f'Expected a Python file at {path}, found none. A path is read from the '
      f'current folder, {os.getcwd()}.'
    )
  status = path.stat()
  return _of_file(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _of_file(path: pathlib.Path, changed: int, size: int) -> types.ModuleType:
  """The module of a file; it is executed once for each state of the file."""
  del changed, size
  if str(path.parent) not in sys.path:
    sys.path.append(str(path.parent))
  name = f'adrpo_jax_user_{path.stem}'
  spec = importlib.util.spec_from_file_location(name, path)
  if spec is None or spec.loader is None:
    raise ImportError(f'no loader for {path}')
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # Dataclasses and pickles look for it there.
  spec.loader.exec_module(module)
  return module
