"""The workdir of a config: who it belongs to, and whether it can be written."""

import json
import os

from etils import epath
from flax.traverse_util import flatten_dict
import jax
from ml_collections import ConfigDict

from adrpo_jax.builders.families import family_of
from adrpo_jax.errors import InputError
from adrpo_jax.records import read_config, write_json
from adrpo_jax.system.versions import device_name, versions

LEFT_BY_A_RUN = ('metrics.jsonl', 'evaluations.jsonl', 'summary.json')
# Keys, and groups of keys, that a run which goes on may change.
CHANGEABLE = ('steps', 'log', 'compute', 'checkpoint', 'eval.every', 'compare')


def check_workdir(config: ConfigDict, workdir: epath.Path) -> None:
  """Checks that a workdir holds no run of another config. Writes nothing."""
  stored = read_config(workdir)
  if stored is None:
    _check_unused(workdir)
  else:
    as_stored = json.loads(json.dumps(config.to_dict()))
    old = flatten_dict(stored['config'], sep='.')
    new = flatten_dict(as_stored, sep='.')
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


def _check_unused(workdir: epath.Path) -> None:
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
  make_folder(workdir)
  write_json(
    workdir / 'config.json',
    {
      'config': config.to_dict(),
      'modality': family_of(config).modality,
      'base': base,
      'versions': versions(),
      'device': device_name(),
    },
  )


def make_folder(folder: epath.Path) -> None:
  """Raises InputError where a folder cannot be made or written to."""
  probe = folder / f'.writable-{os.getpid()}'
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe.write_text('Can this folder be written to?')
    probe.unlink(missing_ok=True)
  except OSError as error:
    raise InputError(
      f'Expected a workdir that can be written to, got {folder}: '
      f'{error.strerror or error}. Take another --workdir.'
    ) from error
