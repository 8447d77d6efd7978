"""Reads the config.json of a model and checks its fields one by one."""

from collections.abc import Mapping
import json
import pathlib
import typing
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import replacing

# Fields that were added later, so that older files lack them.
_OPTIONAL = {'relative_attention_max_distance', 'eos_token_id'}


def read_config(path: pathlib.Path) -> dict[str, Any]:
  """Reads a config.json.

  Raises:
    InputError: the file is missing, or is not a JSON object.
  """
  try:
    fields = json.loads(path.read_text())
  except (FileNotFoundError, NotADirectoryError) as error:
    raise InputError(
      f'Expected the config {path}, found none. Give a complete folder, as '
      'diffusers or transformers saves it.'
    ) from error
  except ValueError as error:
    raise InputError(f'Expected JSON in {path}, got: {error}.') from error
  if not isinstance(fields, dict):
    raise InputError(f'Expected an object of fields in {path}.')
  return fields


def write_json(path: pathlib.Path, fields: Mapping[str, Any]) -> None:
  """Writes a config.json or another file of fields atomically."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as new:
    new.write_text(json.dumps(fields, indent=2))


def config_from_fields(
  config_type: Any, fields: Mapping[str, Any], path: pathlib.Path
) -> Any:
  """Makes a config of the dataclass `config_type` from the fields of a file.

  Raises:
    InputError: fields are missing, or have values of another type.
  """
  types = typing.get_type_hints(config_type)
  absent = {name for name in types if fields.get(name) is None}
  missing = sorted(absent - _OPTIONAL)
  if missing:
    raise InputError(f'Expected the fields {missing} in {path}, found none.')
  values = {name: fields[name] for name in types if name not in absent}
  for name, value in values.items():
    if not matches_type(value, types[name]):
      raise InputError(
        f'Expected {name} in {path} to be {types[name]}, got {value!r}.'
      )
  return config_type(
    **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
  )


def matches_type(value: Any, type_hint: Any) -> bool:
  """Says if a JSON value has the type; an integer is a float as well."""
  if typing.get_origin(type_hint) is tuple:
    each = typing.get_args(type_hint)[0]
    return isinstance(value, list | tuple) and all(
      matches_type(v, each) for v in value
    )
  return type(value) is type_hint or (type_hint is float and type(value) is int)


def check_fields(
  path: pathlib.Path, fields: Mapping[str, Any], **expected: Any
) -> None:
  """Checks fields for which this package implements a single value.

  A field that is missing counts as having that value.

  Raises:
    InputError: a field has another value.
  """
  for name, value in expected.items():
    if fields.get(name, value) != value:
      raise InputError(
        f'Expected {name} = {value!r} in {path}, got {fields[name]!r}. '
        'This belongs to a model that is not implemented here.'
      )
