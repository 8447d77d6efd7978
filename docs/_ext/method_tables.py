"""The methods, from their tables."""

import inspect

from markdown import code, linked, table

from adrpo_jax.method import language_methods, methods
from adrpo_jax.method.record import Method, anchors
from adrpo_jax.method.table import PRESETS, Table

SAMPLERS = {
  'current': 'the policy as it is trained',
  'old': 'an older copy of the policy',
  'base': 'the base, once, before training',
}


def parts() -> dict[str, str]:
  """Name of a generated part -> its text."""
  return {
    'methods_images': _section(methods.METHODS),
    'methods_language': _section(language_methods.LANGUAGE_METHODS),
  }


def _section(rows: Table) -> str:
  return '\n\n'.join(_entry(rows, name) for name in rows)


def _entry(rows: Table, name: str) -> str:
  method = rows.make_method(name)
  equation, _, rest = inspect.getdoc(rows[name].make).partition('\n\n')
  parts = [
    f'### {name}',
    f'{method.title}. Source: {linked(method.source)}.',
    f'```text\n{equation}\n```',
    rest,
    _facts(method),
    _parameters(rows, name),
  ]
  return '\n\n'.join(part for part in parts if part)


def _facts(method: Method) -> str:
  names = ', '.join(anchors(method)) or 'none'
  return f'Samples come from {SAMPLERS[method.behavior]}. Anchors: {names}.'


def _parameters(rows: Table, name: str) -> str:
  values = {preset: rows.parameters(name, preset) for preset in PRESETS}
  first = values[PRESETS[0]]
  if not first:
    return 'No parameters.'
  differ = [p for p in PRESETS[1:] if values[p] != first]
  return table(
    ['parameter', 'default', *(f'`{preset}`' for preset in differ)],
    [
      [
        f'`{key}`',
        code(value),
        *(
          code(values[preset][key]) if values[preset][key] != value else ''
          for preset in differ
        ),
      ]
      for key, value in first.items()
    ],
  )
