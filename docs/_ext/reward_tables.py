"""The rewards and the scales of rewards, from their tables."""

from collections.abc import Mapping
import inspect
from typing import Any

from markdown import code, described, linked, table

from adrpo_jax.builders import config_table
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.rewards.normalizers import NORMALIZERS
from adrpo_jax.rewards.table import RewardRow, Table, defaults
from adrpo_jax.rewards.text_table import TEXT_REWARDS
from adrpo_jax.system import config_values


def parts() -> dict[str, str]:
  """Name of a generated part -> its text."""
  scales = [
    [f'`{name}`', _documentation(make).partition('\n')[0]]
    + [_parameters(defaults(make))]
    for name, make in NORMALIZERS.items()
  ]
  return {
    'rewards_images': _entries(REWARDS, config_table.FINE_TUNING['flow']),
    'rewards_texts': _entries(
      TEXT_REWARDS, config_table.FINE_TUNING['language']
    ),
    'normalizers': table(['name', 'what it computes', 'parameters'], scales),
  }


def _entries(rows: Table, values: config_values.Table) -> str:
  return '\n\n'.join(_entry(name, row, values) for name, row in rows.items())


def _entry(name: str, row: RewardRow, values: config_values.Table) -> str:
  """A heading, the description, the parameters as a config lists them."""
  where = 'on the host' if row.host else 'on the device'
  return '\n\n'.join(
    [
      f'### {name}',
      _documentation(row.host or row.make),
      f'Computed {where}.',
      _values_of(name, row, values) if row.parameters else 'No parameters.',
    ]
  )


def _values_of(name: str, row: RewardRow, values: config_values.Table) -> str:
  """The parameters of a reward, with their defaults and values."""

  def kind(parameter: str) -> str:
    key = config_values.row_of(f'reward.{name}.{parameter}', values)
    return described(values[key]) if key else ''

  return table(
    ['parameter', 'default', 'values'],
    [[f'`{k}`', code(v), kind(k)] for k, v in row.parameters.items()],
  )


def _documentation(function: Any) -> str:
  """The docstring up to its sections."""
  text = inspect.getdoc(function) or ''
  for section in ('Args:', 'Returns:', 'Raises:'):
    text = text.partition(f'\n{section}')[0]
  # A star is no markup in literals, which have `` on either side.
  parts = text.split('``')
  parts[::2] = [part.replace('*', '\\*') for part in parts[::2]]
  return linked('``'.join(parts)).strip()


def _parameters(values: Mapping[str, Any]) -> str:
  listed = [f'`{name}` = {code(value)}' for name, value in values.items()]
  return ', '.join(listed) or 'none'
