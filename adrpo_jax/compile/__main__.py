"""Compiles the programs of a run for TPUs, on a machine without a TPU.

  python -m adrpo_jax.compile --config=configs/t2i.py:sd3_medium \\
    --topology=v5e:4x4 [--num_slices=2] [--prompts_per_chip=2] \\
    [--config.mesh.fsdp=16] [--search] [--output=FILE.json]
  python -m adrpo_jax.compile --config=configs/llm.py:qwen3_0p6b \\
    --topology=v5e:2x2 --completion_lengths=256:200

It needs the shapes of weights, not the weights. It reports whether the programs
fit the chips, how many bytes they read, write and send, and what limits their
speed, and writes the report as JSON. With --search it compiles some meshes and
batches, and reports the cheapest mesh that fits with its largest batch.

It needs libtpu: pip install 'adrpo_jax[tpu]'.
"""

from collections.abc import Mapping, Sequence
import json
import os
import pathlib
import sys
from typing import Any

# Set before JAX starts, which must not search for a TPU.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

from absl import flags
from ml_collections import ConfigDict, config_flags

from adrpo_jax import main
from adrpo_jax.compile import completion_lengths, fitting
from adrpo_jax.compile import report as compile_report
from adrpo_jax.compile.chips import chip_of, topology_of
from adrpo_jax.compile.programs import compile_stages, devices_of
from adrpo_jax.errors import InputError
from adrpo_jax.system import libtpu_flags, local_paths
from adrpo_jax.system.files import replacing
from adrpo_jax.system.steady_output import steady_output

_TOPOLOGY = flags.DEFINE_string(
  'topology',
  '',
  'Chips and their layout: v5e:4x4, v5p:2x2x2, v6e:8x8, ...; or the type of a '
  'slice: v5litepod-16, v6e-8, ...',
)
_SLICES = flags.DEFINE_integer('num_slices', 1, 'Number of slices.')
_SEARCH = flags.DEFINE_bool(
  'search',
  False,
  'Finds the cheapest mesh that holds --prompts_per_chip, or the smallest '
  'batch, and its largest batch. A mesh of the command line stays.',
)
_MOST = flags.DEFINE_integer(
  'most', 64, 'Prompts for each chip at which --search ends.', lower_bound=1
)
_PROGRAMS = flags.DEFINE_list(
  'programs', [], 'Compiles these alone: rollout, update, evaluation, ...'
)
_LENGTHS = flags.DEFINE_string(
  'completion_lengths',
  '',
  'MEAN:SPREAD, the tokens of a completion and their standard deviation, which '
  'say how long a rollout is. By default all completions fill their room.',
)
_OUTPUT = flags.DEFINE_string('output', '', 'A .json file; a .txt is added.')


@steady_output()
def run(argv: Sequence[str]) -> int:
  """Runs the command. Returns the exit status: 1 if a program does not fit."""
  try:
    config = main.parse(argv)
    main.choose_method(config)
    libtpu_flags.set_flags()
    report = _found(config) if _SEARCH.value else _compiled(config)
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  table = compile_report.table(report)
  print(table)
  if _OUTPUT.value:
    path = pathlib.Path(local_paths.expanded(_OUTPUT.value))
    path.parent.mkdir(parents=True, exist_ok=True)
    report['command'] = ' '.join(['python -m adrpo_jax.compile', *argv[1:]])
    with replacing(path) as new:
      new.write_text(json.dumps(report, indent=1))
    with replacing(path.with_suffix('.txt')) as new:
      text = f'{report["command"]}\n\n{table}\n'
      new.write_text(text, encoding='utf-8')
  return 0 if report['fits'] else 1


def _compiled(config: ConfigDict, **options: Any) -> dict[str, Any]:
  """Returns the report of a config; options are those of `compile_stages`."""
  given = {
    'per_chip': main.PROMPTS_PER_CHIP.value,
    'eval_per_chip': main.EVAL_PROMPTS_PER_CHIP.value,
    'lengths': completion_lengths.parse(_LENGTHS.value),
    'only': _PROGRAMS.value,
  }
  return compile_stages(
    config, _TOPOLOGY.value, _SLICES.value, **(given | options)
  )


def _found(config: ConfigDict) -> dict[str, Any]:
  """Returns the report of the mesh and the batch that --search finds."""

  def compiled(
    mesh: Mapping[str, int], per_chip: int, known: Mapping[str, Any]
  ) -> dict[str, Any]:
    tried = config.copy_and_resolve_references()
    tried.mesh.update(mesh)
    return _compiled(tried, per_chip=per_chip, known=known, whole=False)

  topology = topology_of(_TOPOLOGY.value)
  chip, slices = chip_of(topology), _SLICES.value
  own = config_flags.get_override_values(flags.FLAGS['config'])
  if {'mesh.fsdp', 'mesh.tensor'} & set(own):
    choices = [{'fsdp': config.mesh.fsdp, 'tensor': config.mesh.tensor}]
  else:
    choices = list(fitting.meshes(len(devices_of(topology, slices)), slices))
  found = fitting.find(
    compiled,
    choices,
    chip.hbm,
    unit=fitting.unit_of(config),
    least=main.PROMPTS_PER_CHIP.value or 1,
    most=_MOST.value,
    say=lambda line: print(line, flush=True),
  )
  print(f'\n{found.flags()}\n')
  return found.report


if __name__ == '__main__':
  sys.exit(run(sys.argv))
