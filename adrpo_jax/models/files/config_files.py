"""The config.json of a model: its fields read, and checked one by one."""

from collections.abc import Mapping
import json
import pathlib
import typing
from typing import Any

from adrpo_jax.errors import InputError

# Later additions to a kind of config, which older files lack.
_OPTIONAL = {'relative_attention_max_distance', 'eos_token_id'}


def read_config(path: pathlib.Path) -> dict[str, Any]:
  """A config.json, or an error that says what is wrong with it."""
  try:
    fields = json.loads(path.read_text())
  except (FileNotFoundError, NotADirectoryError) as error:
    raise InputError(
      f'Expected the config {path}, found none. Give a whole folder, as '
      'diffusers or transformers saves it.'
    ) from error
  except ValueError as error:
    raise InputError(f'Expected JSON in {path}, got: {error}.') from error
  if not isinstance(fields, dict):
    raise InputError(f'Expected an object of fields in {path}.')
  return fields


def config_from_fields(
  kind: Any, fields: Mapping[str, Any], path: pathlib.Path
) -> Any:
  """A config of one kind from the fields of a file.

  Raises:
    InputError: fields that are missing, or not of the kind that they must be.
  """
  types = typing.get_type_hints(kind)
  absent = {name for name in types if fields.get(name) is None}
  missing = sorted(absent - _OPTIONAL)
  if missing:
    raise InputError(f'Expected {missing} in {path}, which has none.')
  found = {name: fields[name] for name in types if name not in absent}
  for name, value in found.items():
    if not matches_type(value, types[name]):
      raise InputError(
        f'Expected {name} in {path} to be {types[name]}, got {value!r}.'
      )
  return kind(
    **{k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
  )


def matches_type(value: Any, kind: Any) -> bool:
  """Whether JSON's value may stand for this type; 1 may be a float."""
  if typing.get_origin(kind) is tuple:
    each = typing.get_args(kind)[0]
    return isinstance(value, list | tuple) and all(
      matches_type(v, each) for v in value
    )
  return type(value) is kind or (kind is float and type(value) is int)


def check_fields(
  path: pathlib.Path, fields: Mapping[str, Any], **wanted: Any
) -> None:
  """Checks fields of which one value is implemented; it is the default too."""
  for name, value in wanted.items():
    if fields.get(name, value) != value:
      raise InputError(
        f'Expected {name} = {value!r} in {path}, got {fields[name]!r}: that is '
        'another model, or one that is not implemented here.'
      )
