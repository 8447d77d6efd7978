"""Compiles a run's programs for TPUs, on a machine without any.

  python -m adrpo_jax.compile --config=configs/t2i.py:sd3_medium \\
    --topology=v5e:4x4 [--num_slices=2] [--prompts_per_chip=2] \\
    [--config.mesh.fsdp=16] [--output=FILE.json]

Needs no weights, only their shapes. Tells whether the programs fit the chips,
what they move and send, and what bounds their speed; writes it as JSON. Needs
libtpu: pip install 'adrpo_jax[tpu]'.
"""

from collections.abc import Sequence
import json
import os
import pathlib
import sys
from typing import Any

# Before JAX starts: no TPU is looked for, and several processes may compile.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')

from absl import flags
import jax
from ml_collections import ConfigDict

from adrpo_jax import chips as chip_table
from adrpo_jax import (
  compile_costs,
  compile_memory,
  compile_report,
  flops,
  libtpu_flags,
  main,
  sharding,
)
from adrpo_jax.build.shapes import Stage, stages_of
from adrpo_jax.errors import InputError
from adrpo_jax.files import replacing

_TOPOLOGY = flags.DEFINE_string(
  'topology', '', 'Chips and their layout: v5e:4x4, v5p:2x2x2, v6e:8x8, ...'
)
_SLICES = flags.DEFINE_integer('num_slices', 1, 'Slices of that topology.')
_PER_CHIP = flags.DEFINE_integer(
  'prompts_per_chip', 0, 'Sets prompts.per_step; 0 leaves the config its own.'
)
_OUTPUT = flags.DEFINE_string('output', '', 'A .json file, and a .txt beside.')


def run(argv: Sequence[str]) -> int:
  """The command line. -> exit status: 1 where a program does not fit."""
  try:
    config = main.parse(argv)
    libtpu_flags.set_flags()
    report = compiled(
      config, _TOPOLOGY.value, _SLICES.value, per_chip=_PER_CHIP.value
    )
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  told = compile_report.table(report)
  print(told)
  if _OUTPUT.value:
    path = pathlib.Path(_OUTPUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    report['command'] = ' '.join(['python -m adrpo_jax.compile', *argv[1:]])
    with replacing(path) as new:
      new.write_text(json.dumps(report, indent=1))
    with replacing(path.with_suffix('.txt')) as new:
      new.write_text(f'{report["command"]}\n\n{told}\n')
  return 0 if report['fits'] else 1


def compiled(
  config: ConfigDict, topology: str, slices: int = 1, *, per_chip: int = 0
) -> dict[str, Any]:
  """Compiles rollout, reward and update, and reports what they cost.

  Args:
    config: of a family that has shapes without weights.
    topology: of one slice.
    slices: how many of it.
    per_chip: prompts per step for each chip that shares the batch.

  Raises:
    InputError: an unknown topology, no libtpu, or a mesh that does not fit.
  """
  chip = chip_table.chip_of(topology)
  devices = devices_of(topology, slices)
  mesh = sharding.make_mesh(**config.mesh, devices=devices)
  if per_chip:
    rows = mesh.shape['data'] * mesh.shape['fsdp']
    config.prompts.per_step = per_chip * rows
    config.eval.batch = rows * -(-config.eval.batch // rows)
  stages = stages_of(config, mesh)
  plain = stages_of(_without_recomputation(config), mesh)
  programs = {
    name: _program(stages[name], plain[name], chip, len(devices), slices)
    for name in stages
  }
  peak = max(program['hbm_peak_bytes'] for program in programs.values())
  return {
    'fits': peak <= chip.hbm,
    'topology': topology,
    'num_slices': slices,
    'chips': len(devices),
    'mesh': dict(mesh.shape),
    'hbm_capacity_bytes': chip.hbm,
    'hbm_peak_bytes': peak,
    'peak_flops': chip.flops,
    'samples': config.prompts.per_step * config.prompts.samples,
    'config': json.loads(json.dumps(config.to_dict())),  # Lists, not tuples.
    'versions': {'jax': jax.__version__},
    'programs': programs,
  }


def devices_of(topology: str, slices: int) -> Sequence[jax.Device]:
  """The devices of a topology, which libtpu describes."""
  from jax.experimental import topologies

  try:
    return topologies.get_topology_desc(
      platform='tpu', topology_name=topology, num_slices=slices
    ).devices
  except Exception as error:  # Any: of a plugin, or of its absence.
    told = str(error).splitlines()[0] if str(error) else repr(error)
    try:
      import libtpu  # noqa: F401
    except ImportError:
      raise InputError(
        'Expected libtpu, the compiler for TPUs, which is not installed: pip '
        "install 'adrpo_jax[tpu]'. It needs no TPU."
      ) from error
    raise InputError(
      f'Expected a topology that libtpu knows, got {slices} × {topology!r}: '
      f'{told}'
    ) from error


def _program(
  stage: Stage, plain: Stage, chip: chip_table.Chip, chips: int, slices: int
) -> dict[str, Any]:
  """Compiles one stage; `plain` is the same without recomputation."""
  function, arguments = stage
  try:
    compiled, held = compile_memory.compiled(function.lower(*arguments))
  except jax.errors.JaxRuntimeError as error:
    return compile_costs.refused(error)
  return compile_costs.costs(
    compiled,
    held,
    chip=chip,
    chips=chips,
    slices=slices,
    executed=flops.count(function, *arguments),
    model=flops.count(plain[0], *plain[1]),
  )


def _without_recomputation(config: ConfigDict) -> ConfigDict:
  config = config.copy_and_resolve_references()
  config.model.kept = 'all'
  return config


if __name__ == '__main__':
  sys.exit(run(sys.argv))
