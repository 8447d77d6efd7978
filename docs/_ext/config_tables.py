"""The keys of the config files, from their source and its comments.

The values that a key takes are a row of `builders.config_table`. The meaning of
a key is the comment on its line and the comment lines right above it. The keys
of a dict without comments share the comment of the dict.
"""

import ast
import collections
from collections.abc import Iterator, Mapping
import pathlib
import runpy
from typing import Any, NamedTuple

from flax.traverse_util import flatten_dict
from markdown import code, described, table

from adrpo_jax.builders.config_table import FINE_TUNING, PRETRAINING
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.rewards.text_table import TEXT_REWARDS
from adrpo_jax.system.config_values import row_of

FILES = ('t2i', 'llm', 'audio', 'pretrain')
# The dicts of a file -> their heading.
GROUPS = {
  'MAIN': 'To decide first',
  'SETTINGS': 'The rest',
  'COMPUTE': 'Speed and memory; no result changes',
  'HEARING': 'Beside the keys of configs/llm.py',
  'SHAPES': 'The base of shapes',
  'SORT': 'The bases of sort and sort_or_pass',
  'TONES': 'The base of tones',
}
# File -> the table of the values of its keys; dict of a file -> the same.
TABLES = {
  't2i': FINE_TUNING['flow'],
  'llm': FINE_TUNING['language'],
  'audio': FINE_TUNING['audio'],
  'SHAPES': PRETRAINING['flow'],
  'SORT': PRETRAINING['language'],
  'TONES': PRETRAINING['audio'],
}


class Key(NamedTuple):
  """A key of a config: its dotted name, default and meaning."""

  name: str
  default: Any
  meaning: str


def parts(folder: pathlib.Path) -> dict[str, str]:
  """Name of a generated part -> its text."""
  made = {}
  for name in FILES:
    path = folder / f'{name}.py'
    if path.exists():
      made[f'config_{name}'] = _page(path)
  return made


def keys(path: pathlib.Path) -> dict[str, list[Key]]:
  """Dict of the file -> its keys. Parameters of methods and rewards are not
  among them: they have pages of their own.
  """
  source, scope = path.read_text(), runpy.run_path(str(path))
  lines = source.splitlines()
  return {
    name: [
      key
      for key in _walk(node, scope[name], lines, '')
      if not _is_parameter(key.name)
    ]
    for name, node in _dicts(source).items()
    if name in GROUPS
  }


def values(key: Key, path: pathlib.Path, group: str) -> str:
  """The values of a key of a dict of a file, or of the keys below it."""
  rows = TABLES.get(path.stem) or TABLES[group]
  row = row_of(key.name, rows) or row_of(f'{key.name}.*', rows)
  if row:
    return described(rows[row])
  inner = key.default if isinstance(key.default, Mapping) else {}
  below = {name: row_of(f'{key.name}.{name}', rows) for name in inner}
  return '; '.join(
    f'`{name}`: {described(rows[row])}' for name, row in below.items() if row
  )


def presets(path: pathlib.Path) -> dict[str, dict[str, Any]]:
  """Preset -> dotted key -> value, where it differs from the default."""
  scope = runpy.run_path(str(path))
  default = _flat(scope['get_config']())
  return {
    name: changes
    for name in scope['PRESETS']
    if (
      changes := {
        key: value
        for key, value in _flat(scope['get_config'](name)).items()
        if default.get(key) != value
      }
    )
  }


def _page(path: pathlib.Path) -> str:
  text = []
  for group, listed in keys(path).items():
    rows = [
      [f'`{k.name}`', _value(k.default), values(k, path, group), k.meaning]
      for k in listed
    ]
    header = ['key', 'default', 'values', 'meaning']
    text += [f'### {GROUPS[group]}', table(header, rows)]
  for name, changes in presets(path).items():
    rows = [[f'`{key}`', _value(value)] for key, value in changes.items()]
    text += [f'### {path.name}:{name}', table(['key', 'value'], rows)]
  return '\n\n'.join(text)


def _value(value: Any) -> str:
  if not isinstance(value, Mapping) or not value:
    return code(value)
  # Most names of a table have one value: it is said once.
  (usual, count), *_ = collections.Counter(value.values()).most_common()
  listed = [f'`{k}`: {code(v)}' for k, v in value.items() if v != usual]
  others = 'all' if count == len(value) else 'the others'
  return ', '.join([*listed, f'{others}: {code(usual)}'])


def _flat(config: Any) -> dict[str, Any]:
  return flatten_dict(config.to_dict(), sep='.')


def _dicts(source: str) -> dict[str, ast.Dict]:
  """Name -> the literal dict that a file assigns to it."""
  return {
    node.targets[0].id: node.value
    for node in ast.parse(source).body
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
  }


def _is_parameter(name: str) -> bool:
  first, _, rest = name.partition('.')
  owner = rest.partition('.')[0]
  return first == 'reward' and owner in {*REWARDS, *TEXT_REWARDS}


def _walk(
  node: ast.Dict,
  values: Mapping[str, Any],
  lines: list[str],
  prefix: str,
  shared: str = '',
) -> Iterator[Key]:
  for key, value in zip(node.keys, node.values, strict=True):
    if not isinstance(key, ast.Constant):  # **{...}: parameters of rewards
      continue
    name, default = f'{prefix}{key.value}', values[key.value]
    meaning = _meaning(lines, key.lineno, value.end_lineno) or shared
    if not (isinstance(value, ast.Dict) and value.keys):
      yield Key(name, default, meaning)
    elif value.lineno < value.end_lineno:
      yield from _walk(value, default, lines, f'{name}.', meaning)
    else:
      for inner, part in flatten_dict(default, sep='.').items():
        yield Key(f'{name}.{inner}', part, meaning)


def _meaning(lines: list[str], first: int, last: int) -> str:
  """The comments above line `first` and behind line `last`, from 1."""
  above = []
  for line in reversed(lines[: first - 1]):
    if not line.strip().startswith('#'):
      break
    above.insert(0, line.strip().lstrip('# '))
  _, mark, behind = lines[last - 1].partition('  # ')
  return ' '.join(above + [behind] * bool(mark)).strip()
