"""The workdir of a config: who it belongs to, and whether it can be written."""

import json
import os
from typing import Any

from etils import epath
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from adrpo_jax.builders.families import family_of
from adrpo_jax.errors import InputError
from adrpo_jax.metrics import write_json
from adrpo_jax.system.versions import device_name, versions

# Keys, and groups of keys, that a run which goes on may change.
CHANGEABLE = ('steps', 'log', 'compute', 'checkpoint', 'eval.every', 'compare')


def check_workdir(config: ConfigDict, workdir: epath.Path) -> None:
  """Checks that a workdir holds no run of another config. Writes nothing."""
  stored = read_json(workdir / 'config.json')
  if stored:
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


def claim_workdir(config: ConfigDict, workdir: epath.Path) -> None:
  """Writes the config, once it is known to be a good one."""
  make_folder(workdir)
  write_json(
    workdir / 'config.json',
    {
      'config': config.to_dict(),
      'modality': family_of(config).modality,
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


def read_json(path: epath.Path) -> dict[str, Any] | None:
  """Reads a file of JSON; None where there is none."""
  return json.loads(path.read_text()) if path.is_file() else None
