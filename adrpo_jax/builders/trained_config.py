"""The config of weights that were trained, for commands that only use them.

What shaped the weights of a run stands in its config.json. A command need not
name it again, and cannot name it otherwise.
"""

from collections.abc import Collection
import json
from typing import Any

from etils import epath
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from adrpo_jax.builders.families import family_of
from adrpo_jax.builders.workdir import check_unused
from adrpo_jax.errors import InputError
from adrpo_jax.system.records import read_config

# Keys, and groups of keys, that come from the run.
SHAPING = (
  'world',
  'model',
  'method',
  'training',
  'sampler.guidance_scale',
  'eval.guidance_scales',
)
# Those among them that a command may choose anew: where the base is now, how
# it is computed and asked, how far the policy goes on, and how it is guided.
FREE = frozenset(
  {
    'model.path',
    'model.dtype',
    'model.resolution',
    'model.decode_tile',
    'model.t5_length',
    'model.template',
    'model.system',
    'method.python',
    'training.extrapolation',
    'eval.guidance_scales',
  }
)


def of_trained_weights(
  config: ConfigDict, workdir: epath.Path, named: Collection[str] = ()
) -> ConfigDict:
  """Returns a config with what shaped the weights of the run in a workdir.

  Args:
    config: of a command.
    workdir: of the run; without a config.json the config is returned as it is.
    named: the dotted keys that the command line names.

  Raises:
    InputError: the run is of another modality, or the command names another
      value for what shaped its weights.
  """
  record = _fine_tuning(workdir)
  if not record:
    return config
  _check_modality(config, record, workdir)
  stored = _shaping(record['config'])
  asked = _shaping(json.loads(json.dumps(config.to_dict())))
  differing = [
    f'{key}: {stored[key]!r} there, {asked[key]!r} asked for'
    for key in sorted(stored.keys() & asked.keys() & set(named) - FREE)
    if stored[key] != asked[key]
  ]
  if differing:
    raise InputError(
      f'The weights in {workdir} were trained with other settings: '
      f'{"; ".join(differing)}. Leave them out: they are taken from the run.'
    )
  taken = {
    key: tuple(value) if isinstance(value, list) else value
    for key, value in stored.items()
    if key in asked and not (key in FREE and key in named)
  }
  trained = config.copy_and_resolve_references()
  try:
    trained.update_from_flattened_dict(taken)
  except (TypeError, ValueError) as error:
    raise InputError(
      f'Expected the settings of a run in {workdir / "config.json"}, got some '
      f'of another type: {error}.'
    ) from error
  return trained


def check_base(config: ConfigDict, workdir: epath.Path, identity: str) -> None:
  """Checks that a base of another path is the one that a run was trained on.

  Raises:
    InputError: its files are others.
  """
  record = _fine_tuning(workdir)
  if not record or record['config']['model']['path'] == config.model.path:
    return
  if record.get('base', identity) != identity:
    raise InputError(
      f'Expected the base of the run in {workdir} at {config.model.path}, '
      f'found another one: the run was trained on '
      f'{record["config"]["model"]["path"] or "the base of its world"}. Give '
      'a copy of that folder.'
    )


def _fine_tuning(workdir: epath.Path) -> dict[str, Any] | None:
  """Reads the record of a run that fine-tunes, None where there is none.

  Raises:
    InputError: the record is damaged, or gone while other records are there.
  """
  record = read_config(workdir)
  if record is None:
    check_unused(workdir)
  return record if record and 'pretrain' not in record['config'] else None


def _shaping(config: dict[str, Any]) -> dict[str, Any]:
  """Returns dotted key -> value, of the keys of `SHAPING` and below them."""
  return {
    key: value
    for key, value in flatten_dict(config, sep='.').items()
    if f'{key}.'.startswith(tuple(f'{shaping}.' for shaping in SHAPING))
  }


def _check_modality(
  config: ConfigDict, record: dict[str, Any], workdir: epath.Path
) -> None:
  files = {'flow': 'configs/t2i.py', 'language': 'configs/llm.py'}
  expected = record.get('modality')
  if expected != family_of(config).modality and expected in files:
    raise InputError(
      f'Expected --config={files[expected]}, which the run in {workdir} is '
      f'of, got the config of a {family_of(config).modality} model.'
    )
