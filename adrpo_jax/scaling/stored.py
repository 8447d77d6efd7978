"""Cases of reports that `adrpo_jax.compile --output` has written."""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.scaling.bounds import Bounds, bounds_of
from adrpo_jax.scaling.cases import Case
from adrpo_jax.system import local_paths


def stored_bounds(paths: Sequence[str]) -> list[Bounds]:
  """Returns the bounds of reports, the smallest place of a program first.

  Raises:
    InputError: a file that is no report, or one that an older version wrote.
  """
  rows = [_bounds(pathlib.Path(local_paths.expanded(path))) for path in paths]
  order = list(dict.fromkeys(row.program for row in rows))
  return sorted(rows, key=lambda row: (order.index(row.program), row.chips))


def program_name(config: Mapping[str, Any]) -> str:
  """Returns the model, what is trained of it, and the size of an image."""
  model = config['model']
  trained = 'LoRA' if model['lora_rank'] else 'full'
  edge = [f'{model["resolution"]}²'] if 'resolution' in model else []
  return ', '.join([model['architecture'] or model['family'], trained, *edge])


def _bounds(path: pathlib.Path) -> Bounds:
  try:
    report = json.loads(path.read_text())
    case = Case(report['topology'], report['num_slices'], {}, 0)
    return bounds_of(program_name(report['config']), case, {'report': report})
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise InputError(
      'Expected a report that adrpo_jax.compile --output=FILE.json of this '
      f'version has written, got {path} ({error!r}). Compile it anew.'
    ) from error
