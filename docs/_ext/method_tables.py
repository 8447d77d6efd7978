"""The methods, from their tables."""

from collections.abc import Mapping
import inspect
import pathlib
import runpy
from typing import Any

from markdown import code, described, linked, table

from adrpo_jax.builders.config_table import FINE_TUNING
from adrpo_jax.method import language_methods, methods
from adrpo_jax.method.record import Method, anchors
from adrpo_jax.method.table import Table
from adrpo_jax.system import config_values

SAMPLERS = {
  'current': 'the policy as it is trained',
  'old': 'an older copy of the policy',
  'base': 'the base, once, before training',
}


# Config file -> the values that its keys take.
VALUES = {'t2i': FINE_TUNING['flow'], 'llm': FINE_TUNING['language']}


def parts(configs: pathlib.Path) -> dict[str, str]:
  """Name of a generated part -> its text; `configs` is the folder of them."""
  return {
    'methods_images': _section(methods.METHODS, configs / 't2i.py'),
    'methods_language': _section(
      language_methods.LANGUAGE_METHODS, configs / 'llm.py'
    ),
  }


def _section(rows: Table, path: pathlib.Path) -> str:
  config = runpy.run_path(str(path))['get_config']().method
  return '\n\n'.join(_entry(rows, name, path, config[name]) for name in rows)


def _entry(
  rows: Table, name: str, path: pathlib.Path, config: Mapping[str, Any]
) -> str:
  method = rows.make_method(name)
  equation, _, rest = inspect.getdoc(rows[name].make).partition('\n\n')
  parts = [
    f'### {name}',
    f'{method.title}. Source: {linked(method.source)}.',
    f'```text\n{equation}\n```',
    rest,
    _facts(method),
    _parameters(rows, name, path, config),
  ]
  return '\n\n'.join(part for part in parts if part)


def _facts(method: Method) -> str:
  names = ', '.join(anchors(method)) or 'none'
  return f'Samples come from {SAMPLERS[method.behavior]}. Anchors: {names}.'


def _parameters(
  rows: Table, name: str, path: pathlib.Path, config: Mapping[str, Any]
) -> str:
  """The parameters, and their values in the config and in the preset paper.

  A column without a value that differs from the default is left out.
  """
  defaults = rows.parameters(name)
  columns = {
    f'configs/{path.name}': config,
    f'{path.name}:paper': rows.parameters(name, 'paper'),
  }
  changes = {
    title: {k: v for k, v in defaults.items() if values[k] != v}
    for title, values in columns.items()
  }
  shown = [title for title, changed in changes.items() if changed]
  if not defaults:
    return 'No parameters.'
  return table(
    ['parameter', 'default', *(f'`{title}`' for title in shown), 'values'],
    [
      [f'`{key}`', code(value)]
      + [
        code(columns[title][key]) if key in changes[title] else ''
        for title in shown
      ]
      + [_values(f'method.{name}.{key}', VALUES[path.stem])]
      for key, value in defaults.items()
    ],
  )


def _values(key: str, table: config_values.Table) -> str:
  row = config_values.row_of(key, table)
  return described(table[row]) if row else ''
