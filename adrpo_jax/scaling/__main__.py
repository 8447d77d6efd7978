"""How a config scales: one table and one plot over slices of many sizes.

  python -m adrpo_jax.scaling --config=configs/t2i.py:sd3_medium \\
    --topologies=v5e:2x2,v5e:4x4,v5e:16x16,2xv5e:16x16 --mode=weak \\
    [--mesh=1,16,8x2] [--prompts_per_chip=2] --output=FOLDER

compiles the programs of each case for its TPUs, without any, as
`adrpo_jax.compile` does. What FOLDER holds of the same config is not compiled
again, so the same command goes on after an interruption. --mode=weak keeps the
prompts of a chip, --mode=strong the batch of the config. A mesh is FSDP or
FSDPxTENSOR.

  python -m adrpo_jax.scaling --config=configs/t2i.py:debug --mode=strong \\
    --measure --devices=1,2,4,8 --output=FOLDER

runs a few steps on so many of the devices that are here: chips, or virtual
devices of a CPU. With --topologies too, bounds stand beside the seconds.

  python -m adrpo_jax.scaling --output=FOLDER \\
    --reports=benchmarks/results/tpu/lora_512_v5e_4x4.json,...

makes the table and the plot of reports that `adrpo_jax.compile` has written.
"""

import argparse
from collections.abc import Mapping, Sequence
import json
import pathlib
import re
import sys
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from adrpo_jax import main
from adrpo_jax.compare.child_runs import ChildRuns
from adrpo_jax.compile.fitting import unit_of
from adrpo_jax.compile.programs import compile_stages
from adrpo_jax.errors import InputError
from adrpo_jax.scaling import table
from adrpo_jax.scaling.bounds import Bounds, bounds_of
from adrpo_jax.scaling.cases import Case, Compile, cases
from adrpo_jax.scaling.compiled import compiled_cases
from adrpo_jax.scaling.measured import (
  Measured,
  measured_runs,
  run_arguments,
)
from adrpo_jax.scaling.plot import write_plot
from adrpo_jax.scaling.stored import program_name, stored_bounds
from adrpo_jax.system import libtpu_flags, local_paths
from adrpo_jax.system.files import replacing
from adrpo_jax.system.joining import check_alone
from adrpo_jax.system.steady_output import steady_output
from adrpo_jax.system.stop_signals import STOPPED, stop_signals


@steady_output()
def run(argv: Sequence[str], compiled: Compile | None = None) -> int:
  """Runs the command. Returns the exit status, 2 after an error of input."""
  runs = ChildRuns()
  own, theirs = _parser().parse_known_args(argv[1:])
  with stop_signals(runs.stop):
    try:
      # Measured runs are processes of their own, on the devices that are here.
      jax.config.update('jax_platforms', 'cpu')
      config = main.parse([argv[0], *theirs])
      main.choose_method(config)
      study = Study(own, config, [argv[0], *theirs], runs)
      status = _run(study, compiled or _compiled)
      if status == STOPPED:
        _say('Stopped. To go on, give the same command.')
      return status
    except InputError as error:
      print(f'error: {error}', file=sys.stderr)
      return 2


class Study(NamedTuple):
  """What a command line asks for.

  flags: of this module
  config: of the runs
  words: the command line without those flags
  runs: begins measured runs, and is told to stop
  """

  flags: argparse.Namespace
  config: ConfigDict
  words: Sequence[str]
  runs: ChildRuns

  @property
  def per_chip(self) -> int:
    """Returns the prompts of a chip, 0 for those of the config."""
    asked = main.PROMPTS_PER_CHIP.value
    if self.flags.mode == 'weak':
      return asked or unit_of(self.config)
    if asked:
      raise InputError(
        'Expected no --prompts_per_chip with --mode=strong, which keeps '
        f'prompts.prompts_per_step, got {asked}.'
      )
    return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    'adrpo_jax.scaling',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    epilog='All other flags are those of adrpo_jax.main.',
    allow_abbrev=False,
  )
  add = parser.add_argument
  add(
    '--topologies',
    type=_words,
    default=[],
    help='places to compile for: v5e:4x4, v5litepod-16, 2xv5e:16x16',
  )
  add(
    '--mode',
    choices=('weak', 'strong'),
    default='weak',
    help='what stays: the prompts of a chip, or those of a step',
  )
  add(
    '--mesh',
    type=_words,
    default=[],
    help='meshes as FSDP or FSDPxTENSOR; that of the config by default',
  )
  add(
    '--reports',
    type=_words,
    default=[],
    help='reports of adrpo_jax.compile in place of --topologies',
  )
  add('--measure', action='store_true', help='runs a few steps on --devices')
  add(
    '--devices', type=_words, default=['1'], help='numbers of devices: 1,2,4,8'
  )
  add('--output', required=True, help='the folder of the study')
  return parser


def _words(text: str) -> list[str]:
  return [word.strip() for word in text.split(',') if word.strip()]


def _run(study: Study, compiled: Compile) -> int:
  """Compiles and measures what is missing, and writes all of the study."""
  own, runs = study.flags, study.runs
  if not (own.topologies or own.reports or own.measure):
    raise InputError(
      'Expected --topologies=v5e:4x4,... to compile for, --reports=FILE,... '
      'that are compiled, or --measure with --devices=1,2,..., got neither.'
    )
  folder = pathlib.Path(local_paths.expanded(own.output))
  rows = [(_line_of(row, {}), row) for row in stored_bounds(own.reports)]
  if own.topologies:
    program = program_name(study.config.to_dict())
    listed = cases(own.topologies, own.mesh, study.per_chip)
    libtpu_flags.set_flags()
    for case, record in compiled_cases(
      study.config, listed, folder, compiled, _say
    ):
      bounds = bounds_of(program, case, record)
      rows.append((_line_of(bounds, case.mesh), bounds))
      if runs.stopped:
        return STOPPED
  seconds = _measured(study, folder) if own.measure else []
  if runs.stopped:
    return STOPPED
  _write(study, folder, rows, seconds)
  return 0


def _compiled(config: ConfigDict, case: Case) -> dict[str, Any]:
  return compile_stages(
    config,
    case.topology,
    case.slices,
    per_chip=case.per_chip,
    eval_per_chip=main.EVAL_PROMPTS_PER_CHIP.value,
  )


def _measured(study: Study, folder: pathlib.Path) -> list[Measured]:
  """Runs on the numbers of devices that --devices names."""
  check_alone('adrpo_jax.scaling --measure')
  found = measured_runs(
    run_arguments(main.with_config(study.words), study.per_chip),
    _counts(study.flags.devices),
    folder / 'measured',
    study.runs,
    _say,
  )
  return list(found)


def _counts(words: Sequence[str]) -> list[int]:
  if not all(word.isdigit() and int(word) for word in words) or not words:
    raise InputError(
      f'Expected --devices=1,2,4 or others, got {",".join(words)!r}.'
    )
  return [int(word) for word in words]


def _line_of(bounds: Bounds, mesh: Mapping[str, int]) -> str:
  """Returns the name of a line in the plot: program, chip, and a given mesh."""
  chip = re.sub(r'^\d+x|:.*', '', bounds.place)
  axes = [f'{axis} {size}' for axis, size in mesh.items()]
  return ', '.join([bounds.program, chip, *axes])


def _write(
  study: Study,
  folder: pathlib.Path,
  rows: Sequence[tuple[str, Bounds]],
  seconds: Sequence[Measured],
) -> None:
  """Writes and prints the tables, and writes plot and JSON."""
  bounds = [row for _, row in rows]
  tables = []
  if bounds:
    tables.append(table.bounds_table(bounds))
  if seconds:
    tables.append(table.measured_table(seconds, bounds))
  command = ' '.join(['python -m adrpo_jax.scaling', *sys.argv[1:]])
  content = {
    'command': command,
    'bounds': [_as_json(row, row.seconds, row.speed) for row in bounds],
    'measured': [_as_json(row, row.seconds, row.speed) for row in seconds],
  }
  folder.mkdir(parents=True, exist_ok=True)
  with replacing(folder / 'scaling.json') as new:
    new.write_text(json.dumps(content, indent=1))
  text = '\n\n'.join(tables)
  with replacing(folder / 'scaling.md') as new:
    new.write_text(f'`{command}`\n\n{text}\n', encoding='utf-8')
  print(f'\n{text}\n')
  for path in [folder / 'scaling.json', *write_plot(rows, folder)]:
    _say(str(path))


def _as_json(
  row: Bounds | Measured, seconds: float, speed: float
) -> dict[str, Any]:
  plain = {
    key: dict(value) if hasattr(value, 'items') else value
    for key, value in row._asdict().items()
  }
  return plain | {'seconds': seconds, 'samples_per_second': speed}


def _say(line: str) -> None:
  print(line, flush=True)


if __name__ == '__main__':
  sys.exit(run(sys.argv))
