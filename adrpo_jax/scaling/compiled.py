"""Reports of cases, each compiled once and kept in a file of its own."""

from collections.abc import Callable, Iterator, Sequence
import json
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict

from adrpo_jax.errors import InputError
from adrpo_jax.scaling.cases import Case, Compile, applied
from adrpo_jax.system.files import replacing

Record = dict[str, Any]


def compiled_cases(
  config: ConfigDict,
  cases: Sequence[Case],
  folder: pathlib.Path,
  compiled: Compile,
  say: Callable[[str], None],
) -> Iterator[tuple[Case, Record]]:
  """Yields each case with its record, compiled unless `folder` holds it.

  A record is {'made_of', 'report'}, or {'made_of', 'refused': reason} where the
  config does not fit the place. It counts as made where its config, its case
  and the version of JAX are the same.
  """
  folder.mkdir(parents=True, exist_ok=True)
  for case in cases:
    path, made_of = folder / f'{case.name}.json', _made_of(config, case)
    record = _read(path)
    if record is None or record.get('made_of') != made_of:
      say(f'{case.name}: compiling')
      record = {'made_of': made_of} | _made(config, case, compiled)
      with replacing(path) as new:
        new.write_text(json.dumps(record, indent=1))
    else:
      say(f'{case.name}: read from {path}')
    yield case, record


def _made(config: ConfigDict, case: Case, compiled: Compile) -> Record:
  try:
    return {'report': compiled(applied(config, case), case)}
  except InputError as error:
    return {'refused': str(error)}


def _made_of(config: ConfigDict, case: Case) -> Record:
  """Returns what a record depends on, as JSON stores it."""
  made_of = {
    'config': config.to_dict(),
    'case': case._asdict(),
    'jax': jax.__version__,
  }
  return json.loads(json.dumps(made_of))


def _read(path: pathlib.Path) -> Record | None:
  """Returns a stored record, None where there is none that can be read."""
  try:
    record = json.loads(path.read_text())
  except (OSError, ValueError):
    return None
  return record if isinstance(record, dict) else None
