"""The method of a config: a row of its family's table, or the user's own."""

from collections.abc import Callable
import functools
import inspect
from typing import Any

from ml_collections import ConfigDict

from adrpo_jax.builders.checks import lookup
from adrpo_jax.errors import InputError
from adrpo_jax.method.record import Method
from adrpo_jax.method.table import Table
from adrpo_jax.system.user_code import Call, load, read_calls

KEY = 'method.python'


def make_method(config: ConfigDict, table: Table) -> Method:
  """Returns the method that `config.method` names, with its parameters.

  Raises:
    InputError: no such method, parameters that do not fit, or own code that is
      no method.
  """
  name = config.method.name
  for call in read_calls(config.method.python, KEY):
    if call.name in table:
      raise InputError(
        f'Expected a name that no method of the package has, got {call}. Give '
        'the function another name.'
      )
    if call.name == name:
      return _user_method(call, table)
  row, own = lookup(table, name, 'method'), config.method.get(name, {})
  missing = [key for key in table.parameters(name) if key not in own]
  if missing:
    raise InputError(
      f'Expected the parameters of {name!r} in config.method.{name}, got none '
      f'of {", ".join(missing)}.'
    )
  parameters = {key: own[key] for key in table.parameters(name)}
  parameters |= {key: config.sampler[key] for key in row.from_run}
  if 'allow_unstable' in parameters and config.training.reference_sync_steps:
    # No reference serves so long that samples widen: no fixed point is needed.
    parameters['allow_unstable'] = True
  return _made(name, functools.partial(table.make_method, name, **parameters))


def _user_method(call: Call, table: Table) -> Method:
  factory = load(call, KEY)
  try:
    inspect.signature(factory).bind(**call.arguments)
  except TypeError as error:
    raise InputError(
      f'Expected keyword arguments of {call} that fit '
      f'{inspect.signature(factory)}, got {call.arguments or "none"}: {error}. '
      f"Every parameter needs a default or a value: '{call}(KEY=VALUE)'."
    ) from error
  try:
    method = _made(str(call), functools.partial(factory, **call.arguments))
  except Exception as error:  # Any: it is the user's code.
    if isinstance(error, InputError):
      raise
    raise InputError(
      f'Expected {call} to return a Method, but it raises '
      f'{type(error).__name__}: {error}.'
    ) from error
  if not isinstance(method, Method):
    raise InputError(
      f'Expected {call} to return an adrpo_jax.method.Method, got '
      f'{type(method).__name__}.'
    )
  # One that is made of a row of the table has that row's title still.
  titles = {'', *(row.title for row in table.values())}
  title = call.name if method.title in titles else method.title
  return method._replace(name=call.name, title=title)


def _made(name: str, make: Callable[[], Any]) -> Any:
  try:
    return make()
  except ValueError as error:
    raise InputError(str(error)) from error
