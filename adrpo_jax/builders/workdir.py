"""The workdir of a config: which run it belongs to."""

from collections.abc import Mapping, Sequence
import json
import os
from typing import Any

from etils import epath
from flax.traverse_util import flatten_dict
import jax
from ml_collections import ConfigDict

from adrpo_jax.builders.families import family_of
from adrpo_jax.errors import InputError
from adrpo_jax.system import config_files
from adrpo_jax.system.cache_files import cache_folder
from adrpo_jax.system.local_paths import portable
from adrpo_jax.system.records import read_config, write_json
from adrpo_jax.system.versions import device_name, versions

LEFT_BY_A_RUN = ('metrics.jsonl', 'evaluations.jsonl', 'summary.json')
# Keys, and groups of keys, that a run which goes on may change. Another mesh
# agrees to rounding, as other devices do.
CHANGEABLE = (
  *('steps', 'log', 'compute', 'checkpoint', 'eval.every', 'compare'),
  'mesh',
)


def check_workdir(config: ConfigDict, workdir: epath.Path) -> None:
  """Checks that a workdir holds no run of another config. Writes nothing."""
  stored = read_config(workdir)
  if stored is None:
    check_unused(workdir)
  else:
    as_stored = json.loads(json.dumps(config.to_dict()))
    old = _portable(stored['config'], stored.get('folders', _folders()))
    new = _portable(as_stored, _folders())
    differing = [
      f'{key}: {old.get(key)!r} there, {new.get(key)!r} asked for'
      for key in sorted(old.keys() | new.keys())
      if old.get(key) != new.get(key) and not key.startswith(CHANGEABLE)
    ]
    if differing:
      raise InputError(
        f'{workdir} holds a run of another config: {"; ".join(differing)}. '
        'Take another --workdir, or the same config.'
      )


def check_unused(workdir: epath.Path) -> None:
  """Raises InputError where a run has left records, but not its config."""
  if jax.process_index() != 0:
    return  # The records are those of process 0.
  left = [name for name in LEFT_BY_A_RUN if (workdir / name).exists()]
  checkpoints = workdir / 'checkpoints'
  if checkpoints.exists() and any(checkpoints.iterdir()):
    left.append('checkpoints')
  if left:
    raise InputError(
      f'Expected config.json in {workdir}, which holds {", ".join(left)} of a '
      'run, found none. Without it nobody knows the settings of that run: put '
      'it back from a copy, or take another --workdir.'
    )


def claim_workdir(
  config: ConfigDict, workdir: epath.Path, base: str = ''
) -> None:
  """Writes the config, once it is known to be a good one.

  `base` is the digest of the weights that a fine-tuning starts from.
  """
  write_json(
    workdir / 'config.json',
    {
      'config': config.to_dict(),
      'modality': family_of(config).modality,
      'base': base,
      'versions': versions(),
      'device': device_name(),
      'folders': _folders(),
    },
  )


def _folders() -> list[str]:
  """Returns the current folder, and those that each machine has elsewhere."""
  package = config_files.shipped().parent
  return [os.getcwd(), str(package), str(cache_folder())]


def _portable(
  config: Mapping[str, Any], folders: Sequence[str]
) -> dict[str, Any]:
  """Returns dotted key -> value, whatever folder or machine it was read in."""
  return {
    key: portable(key, value, folders)
    for key, value in flatten_dict(config, sep='.').items()
  }
