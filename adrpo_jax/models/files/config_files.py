"""Reads the config.json of a model and checks its fields one by one."""

from collections.abc import Mapping
import json
import pathlib
import reprlib
import typing
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import replacing

# Where the config of a model says that its weights are quantized: with GPTQ,
# AWQ, bitsandbytes, FP8 and others.
QUANTIZED = ('quantization_config', 'compression_config')

_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 100
KINDS = {int: 'a whole number', float: 'a number', bool: 'true or false'}


def read_config(path: pathlib.Path) -> dict[str, Any]:
  """Reads a config.json.

  Raises:
    InputError: the file is missing, is not a JSON object, or says that the
      weights beside it are quantized.
  """
  try:
    fields = json.loads(path.read_text(encoding='utf-8'))
  except (FileNotFoundError, NotADirectoryError) as error:
    raise InputError(
      f'Expected the config {path}, found none. Give a complete folder, as '
      'diffusers or transformers saves it.'
    ) from error
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(
      f'Expected JSON in {path}, got: {error}. Copy or download it again.'
    ) from error
  if not isinstance(fields, dict):
    raise InputError(f'Expected an object of fields in {path}.')
  check_plain(fields, path)
  return fields


def check_plain(fields: Mapping[str, Any], path: pathlib.Path) -> None:
  """Checks that a config speaks of plain floats.

  Raises:
    InputError: the weights beside it are quantized.
  """
  for name in QUANTIZED:
    if fields.get(name) is not None:
      raise InputError(
        f'Expected weights of plain floats beside {path}, which has {name} = '
        f'{shown(fields[name])}: the model is quantized. Take the plain '
        'release of the same model, in bfloat16, float16 or float32.'
      )


def write_json(path: pathlib.Path, fields: Mapping[str, Any]) -> None:
  """Writes a config.json or another file of fields atomically."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as new:
    new.write_text(json.dumps(fields, indent=2))


def config_from_fields(
  config_type: Any,
  fields: Mapping[str, Any],
  path: pathlib.Path,
  defaults: Mapping[str, Any] | None = None,
) -> Any:
  """Makes a config of the dataclass `config_type` from the fields of a file.

  Args:
    config_type: the types of its fields say what is allowed, see
      `models.config_types`; its `__post_init__` may raise ValueError.
    fields: of the file, and what the caller derives from them.
    path: of the file, for messages.
    defaults: the values of fields that the file may lack or have as null.

  Raises:
    InputError: fields are missing, have values of another type, values that
      are not allowed, or ones that do not fit each other.
  """
  types = typing.get_type_hints(config_type, include_extras=True)
  values = {name: fields.get(name) for name in types}
  values |= {
    name: value
    for name, value in (defaults or {}).items()
    if name in types and values[name] is None
  }
  missing = sorted(name for name, value in values.items() if value is None)
  if missing:
    raise InputError(f'Expected the fields {missing} in {path}, found none.')
  typed = {n: read_field(values, n, types[n], path) for n in types}
  try:
    return config_type(**typed)
  except ValueError as error:
    raise InputError(f'{error} It stands in {path}.') from error


def read_field(
  fields: Mapping[str, Any], name: str, type_hint: Any, path: pathlib.Path
) -> Any:
  """Reads a field as its type wants it: lists as tuples, 1 as 1.0 of a float.

  Raises:
    InputError: the value is of another type, or is not allowed.
  """
  value = fields.get(name)
  if not matches_type(value, type_hint):
    raise InputError(
      f'Expected {name} in {path} to be {described(type_hint)}, got '
      f'{shown(value)}.'
    )
  return _converted(value, type_hint)


def matches_type(value: Any, type_hint: Any) -> bool:
  """Says if a JSON value has the type and is allowed.

  An integer is a float as well, and a list a tuple. NaN and infinity are no
  numbers of JSON.
  """
  base, constraints = _parts(type_hint)
  if typing.get_origin(base) is tuple:
    each = typing.get_args(base)[0]
    matched = isinstance(value, list | tuple) and all(
      matches_type(v, each) for v in value
    )
  elif base is float:
    # Comparisons are exact for integers of any size, and false for NaN.
    matched = type(value) in (int, float) and -1e300 < value < 1e300
  else:
    matched = type(value) is base
  return matched and all(rule.allows(value) for rule in constraints)


def described(type_hint: Any) -> str:
  """Returns the words for a type in an error.

  >>> described(tuple[int, ...])
  'a list, each item a whole number'
  """
  base, constraints = _parts(type_hint)
  if typing.get_origin(base) is tuple:
    words = ['a list', *map(str, constraints)]
    return f'{" ".join(words)}, each item {described(typing.get_args(base)[0])}'
  if base is str and constraints:
    return ' '.join(map(str, constraints))
  return ' '.join([KINDS.get(base, 'a text'), *map(str, constraints)])


def shown(value: Any) -> str:
  """Returns a value for a message: short, however large or deep it is."""
  return _shown.repr(value)


def check_fields(
  path: pathlib.Path, fields: Mapping[str, Any], **expected: Any
) -> None:
  """Checks fields for which this package implements a single value.

  Args:
    path: of the file.
    fields: of the file. One that is missing counts as accepted.
    **expected: the value of a field, or a tuple of the values that mean the
      same. Each element of a list of types has to be one of them.

  Raises:
    InputError: a field has another value.
  """
  for name, value in expected.items():
    accepted = value if isinstance(value, tuple) else (value,)
    given = fields.get(name, accepted[0])
    if not all(
      any(each == one and type(each) is type(one) for one in accepted)
      for each in (given if _is_listed(name, given) else [given])
    ):
      raise InputError(
        f'Expected {name} = {" or ".join(map(repr, accepted))} in {path}, got '
        f'{shown(given)}. This belongs to a model that is not implemented here.'
      )


def _is_listed(name: str, given: Any) -> bool:
  """Tells if a field holds a list: '..._types' do, others may have none."""
  return isinstance(given, list) and (name.endswith('_types') or not given)


def _parts(type_hint: Any) -> tuple[Any, tuple[Any, ...]]:
  """Returns (the type itself, its constraints)."""
  if typing.get_origin(type_hint) is typing.Annotated:
    base, *constraints = typing.get_args(type_hint)
    return base, tuple(constraints)
  return type_hint, ()


def _converted(value: Any, type_hint: Any) -> Any:
  base, _ = _parts(type_hint)
  if typing.get_origin(base) is tuple:
    each = typing.get_args(base)[0]
    return tuple(_converted(v, each) for v in value)
  return value if type(value) is base else base(value)
