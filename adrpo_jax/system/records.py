"""The records of a run: config.json, summary.json, and lines of .jsonl files.

A record is a JSON object with a checksum, "crc": the CRC-32 of all else in it.
It is written whole or not at all, and a reader takes it whole or says what is
wrong with it. Records without a checksum, of an older version, are taken too.
"""

from collections.abc import Mapping, Sequence
import json
import math
import os
from typing import Any
import zlib

from etils import epath
import jax
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.system.config_keys import completed
from adrpo_jax.system.files import replacing

Record = dict[str, Any]

PER_PROMPT = 'per_prompt.json'  # of a workdir, see `read_per_prompt`

_SHOWN = 6  # steps that an error lists


def plain(value: Any) -> Any:
  """Returns a value as JSON can hold it: arrays as lists, NaN and ∞ as None."""
  if isinstance(value, Mapping):
    return {str(name): plain(entry) for name, entry in value.items()}
  if isinstance(value, list | tuple):
    return [plain(entry) for entry in value]
  if isinstance(value, jax.Array | np.ndarray | np.generic):
    return plain(np.asarray(value).tolist())
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def line_of(record: Mapping[str, Any]) -> str:
  """Returns a record with its checksum as a line of a .jsonl file."""
  return json.dumps(_sealed(record), allow_nan=False) + '\n'


def parsed(text: str) -> Record:
  """Returns the record that a text is, without its checksum.

  Raises:
    ValueError: it is no JSON object, or differs from its checksum.
  """
  try:
    record = json.loads(text)
    if not isinstance(record, dict):
      raise ValueError('it is not a JSON object')
    if 'crc' in record and record.pop('crc') != _checksum(record):
      raise ValueError('it differs from its checksum')
  except RecursionError as error:
    raise ValueError('it is nested too deeply') from error
  return record


def write_json(path: epath.Path, content: Any) -> None:
  """Writes a record whole or not at all, on process 0."""
  if jax.process_index() == 0:
    with replacing(path) as new:
      new.write_text(
        json.dumps(_sealed(content), indent=1, ensure_ascii=False),
        encoding='utf-8',
      )


def read_json(
  path: epath.PathLike, way_out: str, **entries: type
) -> Record | None:
  """Reads a file that holds a record; None where there is none.

  Args:
    path: of the file.
    way_out: what to do about a damaged file, for the error.
    **entries: name -> type of entries that it must have.

  Raises:
    InputError: it is cut short, damaged, or lacks an entry.
  """
  path = epath.Path(path)
  if not path.exists():
    return None
  try:
    record = parsed(path.read_text(encoding='utf-8'))
    wrong = [n for n, t in entries.items() if not isinstance(record.get(n), t)]
    if wrong:
      raise ValueError(f'it lacks {", ".join(wrong)}')
  except (ValueError, OSError) as error:
    raise InputError(
      f'Expected a whole record in {path}, which is cut short or damaged '
      f'({error}). {way_out}'
    ) from error
  return record


def read_config(workdir: epath.Path) -> Record | None:
  """Reads config.json of a workdir; None where there is none.

  A config that is older than a key gets it, with the value that it meant.

  Raises:
    InputError: it is cut short, damaged, or holds no config.
  """
  record = read_json(
    workdir / 'config.json',
    'It says with which settings the run was made. Put it back from a copy, or '
    'take another --workdir.',
    config=dict,
  )
  return record and record | {'config': completed(record['config'])}


def read_summary(workdir: epath.Path) -> Record | None:
  """Reads summary.json of a workdir; None where there is none.

  Raises:
    InputError: it is cut short, damaged, or no summary.
  """
  return read_json(
    workdir / 'summary.json',
    'Remove it: the command of this run then evaluates its last checkpoint '
    'and writes it again.',
    steps=int,
    base=dict,
    final=dict,
  )


def read_per_prompt(workdir: epath.Path) -> Record | None:
  """Reads what the held-out prompts of a run scored; None where there is none.

  measure: what the scores are, 'success' or 'reward'
  prompts: a fingerprint of the prompts, in their order
  base, final: of the base and of the tuned model, a number or None a prompt

  Raises:
    InputError: the file is cut short, damaged, or another one.
  """
  path = workdir / PER_PROMPT
  way_out = (
    'Remove it and summary.json: the command of this run then evaluates its '
    'last checkpoint and writes both again.'
  )
  record = read_json(
    path, way_out, measure=str, prompts=str, base=list, final=list
  )
  for name in ('base', 'final'):
    scores = record[name] if record else []
    if not all(s is None or type(s) in (int, float) for s in scores):
      raise InputError(
        f'Expected numbers or null as {name!r} in {path}. {way_out}'
      )
  return record


def append_json(path: epath.Path, record: Mapping[str, Any]) -> None:
  """Adds a line to a short .jsonl file, on process 0.

  The file is written anew, since an object in a bucket cannot grow.
  """
  if jax.process_index() == 0:
    before = path.read_text() if path.exists() else ''
    with replacing(path) as new:
      new.write_text(before + line_of(record))


def lines_of(path: epath.PathLike) -> list[tuple[str, Record | ValueError]]:
  """Reads the whole lines of a .jsonl file, each with its record.

  In place of a record is what is wrong with it. The torn last line of a killed
  run is left out, and a file that does not exist has none.
  """
  path = epath.Path(path)
  content = path.read_bytes() if path.exists() else b''
  lines: list[tuple[str, Record | ValueError]] = []
  for line in content.decode('utf-8', errors='replace').split('\n')[:-1]:
    try:
      record = parsed(line)
      if type(record.get('step')) is not int:
        raise ValueError('it has no step')
      lines.append((f'{line}\n', record))
    except ValueError as error:
      lines.append((f'{line}\n', error))
  return lines


def read_lines(path: epath.PathLike) -> list[Record]:
  """Reads the records of a .jsonl file, in the order of its lines.

  The torn last line of a killed run is left out, and a file that does not exist
  has none.

  Raises:
    InputError: a whole line is not a record with a step.
  """
  lines = lines_of(path)
  for number, (line, record) in enumerate(lines, 1):
    if isinstance(record, ValueError):
      raise _bad_line(path, number, line, record)
  return [record for _, record in lines if isinstance(record, dict)]


def cut_back(
  path: epath.PathLike, step: int, wanted: Sequence[int] | None = None
) -> int:
  """Drops the lines of a .jsonl file from `step` on; returns how many went.

  A resumed run writes them again. The torn last line of a killed run goes too.
  The file is replaced as a whole, by process 0.

  Args:
    path: of the file.
    step: the first that is dropped.
    wanted: the steps of the lines that must be left, if that is known.

  Raises:
    InputError: a line is damaged, or a line before `step` is missing.
  """
  if jax.process_index() != 0:
    return 0
  path, lines = epath.Path(path), lines_of(path)
  earlier: list[tuple[str, int]] = []
  for number, (line, record) in enumerate(lines, 1):
    if wanted is not None and len(earlier) == len(wanted):
      break  # What follows goes in any case.
    if isinstance(record, ValueError):
      raise _bad_line(path, number, line, record)
    if record['step'] < step:
      earlier.append((line, record['step']))
  if wanted is not None:
    check_steps(path, [s for _, s in earlier], wanted)
  kept = ''.join(line for line, _ in earlier)
  content = path.read_bytes() if path.exists() else b''
  if len(content) > len(kept.encode()):
    with replacing(path) as new:
      new.write_text(kept, encoding='utf-8')
  torn = bool(content) and not content.endswith(b'\n')
  return len(lines) + torn - len(earlier)


def check_steps(
  path: epath.PathLike, steps: Sequence[int], wanted: Sequence[int]
) -> None:
  """Checks that a .jsonl file has the lines of these steps, each once.

  Raises:
    InputError: lines are missing, or there more than once.
  """
  if list(steps) == list(wanted):
    return
  missing = sorted(set(wanted) - set(steps))
  more = f' and {len(missing) - _SHOWN} more' if len(missing) > _SHOWN else ''
  fault = (
    f'those of steps {missing[:_SHOWN]}{more} are missing'
    if missing
    else 'some are there twice or in another order'
  )
  raise InputError(
    f'Expected a line of each step in {os.fspath(path)}; {fault}. '
    f'{_way_out(path)}'
  )


def _bad_line(
  path: epath.PathLike, number: int, line: str, error: ValueError
) -> InputError:
  return InputError(
    f'Expected a JSON object with a "step" in line {number} of '
    f'{os.fspath(path)}, got {line.strip()[:60]!r} ({error}). {_way_out(path)}'
  )


def _way_out(path: epath.PathLike) -> str:
  """What to do about a damaged .jsonl file."""
  if epath.Path(path).name == 'evaluations.jsonl':
    return (
      'Put the file back from a copy, or remove that line: a curve of the '
      'report then lacks a point.'
    )
  return (
    'Put the file back from a copy. Or remove all checkpoints that are later '
    'than the last line before the fault: the same command then does these '
    'steps again, to the same bits.'
  )


def _sealed(content: Mapping[str, Any]) -> Record:
  record = plain(content)
  return record | {'crc': _checksum(record)}


def _checksum(record: Record) -> int:
  """The CRC-32 of a record, whatever the order and the spelling of its JSON."""
  return zlib.crc32(json.dumps(record, sort_keys=True).encode())
