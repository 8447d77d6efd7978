"""The check of a config by the table of its keys, before anything is built."""

from collections.abc import Mapping
from typing import Any

from flax.traverse_util import empty_node, flatten_dict
from ml_collections import ConfigDict

from adrpo_jax.builders import config_table
from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.families import FAMILIES
from adrpo_jax.errors import InputError
from adrpo_jax.system import user_code
from adrpo_jax.system.config_values import Table, check_values, row_of
from adrpo_jax.worlds import shapes_prompts

FILES = {
  'flow': 'configs/t2i.py',
  'language': 'configs/llm.py',
  'audio': 'configs/audio.py',
}


def check_config(config: ConfigDict) -> None:
  """Checks that a config has the keys of its family, with values that fit.

  Raises:
    InputError: a key that is missing or unknown, or a value that its key does
      not take, here or in what a contestant of `config.compare` changes.
  """
  _check_one(config)
  for name, changes in config.get('compare', {}).items():
    try:
      _check_one(_changed(config, changes))
    except (KeyError, TypeError, ValueError) as error:
      raise InputError(
        f'Expected changes of config.compare.{name} that the config takes: '
        f'{error.args[0]}'
      ) from error


def _check_one(config: ConfigDict) -> None:
  flat = flattened(config)
  name = flat.get('model.family', '')
  check_values({'model.family': name}, config_table.RUN, is_parameter)
  table, file = table_of(name, pretraining='pretrain' in config)
  missing = [
    *(key for key in table if is_required(key) and key not in flat),
    *(group for group in _groups(table) if not _has_group(config, group)),
  ]
  if missing:
    raise InputError(
      f'Expected the keys of {file}, which the family {name!r} reads, got a '
      f'config without {", ".join(missing)}. Begin from that file.'
    )
  check_values(flat, table, is_parameter)
  if 'reward' in config:
    own = _own_rewards(config.reward.python)
    check_values(own, table, is_parameter)
  if table is config_table.PRETRAINING['flow']:
    _check_stages(config)


def _own_rewards(text: str) -> dict[str, Any]:
  """Returns the arguments of own rewards under the keys that others have."""
  groups = {'weight': 'weights', 'normalize': 'normalize'}
  named: dict[str, Any] = {}
  for call in user_code.read_calls(text, 'reward.python'):
    for key, value in call.arguments.items():
      group = groups.get(key)
      where = f'{group}.{call.name}' if group else f'{call.name}.{key}'
      named[f'reward.{where}'] = value
  # A normalizer with parameters is a dict, which its table checks.
  return {k: v for k, v in named.items() if not isinstance(v, Mapping)}


def _changed(config: ConfigDict, changes: Any) -> ConfigDict:
  """Returns the config of a contestant, which has no key of its own."""
  if not isinstance(changes, Mapping | ConfigDict):
    raise TypeError(f'got {changes!r}, which is no dict.')
  changed = config.copy_and_resolve_references().lock()
  changed.update({k: v for k, v in changes.items() if k != 'title'})
  return changed


def check_text(config: ConfigDict, key: str, text: str) -> None:
  """Checks the text of a value that its key, of another type, cannot hold.

  Raises:
    InputError: the key has a row, and it takes no such text.
  """
  pretraining = 'pretrain' in config
  table, _ = table_of(config.model.family, pretraining=pretraining)
  if row_of(key, table):
    check_values({key: text}, table, is_parameter)


def table_of(family: str, *, pretraining: bool) -> tuple[Table, str]:
  """Returns the table of the keys of a family, and the file that has them."""
  row = lookup(FAMILIES, family, 'family of models')
  if pretraining:
    return config_table.PRETRAINING[row.keys], 'configs/pretrain.py'
  return config_table.FINE_TUNING[row.keys], FILES[row.keys]


def flattened(config: ConfigDict) -> dict[str, Any]:
  """Returns dotted key -> value, without the changes of a comparison."""
  values = config.to_dict()
  values.pop('compare', None)
  flat = flatten_dict(values, keep_empty_nodes=True, sep='.')
  return {k: {} if v is empty_node else v for k, v in flat.items()}


def is_parameter(key: str) -> bool:
  """Returns whether a key is a parameter of a method or of a reward.

  Own methods and rewards have others, so that none of them is required, and
  none is unknown.
  """
  return key.startswith(('method.', 'reward.')) and key.count('.') > 1


def is_required(key: str) -> bool:
  """Returns whether nothing can be built without a row of a table."""
  return '*' not in key and not is_parameter(key)


def _groups(table: Table) -> list[str]:
  return [key[:-2] for key in table if key.endswith('.*')]


def _has_group(config: ConfigDict, group: str) -> bool:
  found: Any = config
  for word in group.split('.'):
    found = found.get(word) if isinstance(found, ConfigDict) else None
  return isinstance(found, ConfigDict)


def _check_stages(config: ConfigDict) -> None:
  """Checks that the stages of a base of images have what to learn."""
  stages = config.pretrain
  if config.model.path:
    needed = max(stages[s].steps for s in ('flow', 'distillation', 'decoder'))
  else:
    needed = min(stages[stage].steps for stage in ('autoencoder', 'flow'))
  if not needed:
    raise InputError(
      'Expected steps of the autoencoder and of flow for a new base, and of '
      'flow, distillation or decoder for one of config.model.path, got none.'
    )
  given, known = set(stages.shares), set(shapes_prompts.CATEGORIES)
  if given != known or not any(stages.shares.values()):
    raise InputError(
      f'Expected in config.pretrain.shares a share of each of '
      f'{", ".join(sorted(known))}, not all 0, got {stages.shares.to_dict()}.'
    )
