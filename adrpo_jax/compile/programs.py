"""Compiles the stages of a config for a TPU topology, without a TPU."""

from collections.abc import Mapping, Sequence
import json
import math
import os
from types import MappingProxyType
from typing import Any

import jax
from ml_collections import ConfigDict

from adrpo_jax.builders import flops
from adrpo_jax.builders.abstract_stages import Stage, stages_of
from adrpo_jax.builders.batch_sizes import fit_to_chips
from adrpo_jax.builders.meshes import make_mesh
from adrpo_jax.builders.model_flops import model_flops
from adrpo_jax.compile import chips as chip_table
from adrpo_jax.compile import costs, memory
from adrpo_jax.compile.advice import is_evaluation, needed_bytes
from adrpo_jax.compile.completion_lengths import (
  CompletionLengths,
  of_mean_length,
  token_steps_of,
)
from adrpo_jax.compile.hlo_module import Loops
from adrpo_jax.compile.links import Torus, torus_of
from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.sampling.token_steps import TokenSteps

# The largest programs, in most runs, come first: one of them may be enough.
FIRST = (
  *('update', 'evaluation', 'eval_reward', 'eval_decoding'),
  *('rollout', 'reward', 'decoding'),
)


def compile_stages(
  config: ConfigDict,
  topology: str,
  slices: int = 1,
  *,
  per_chip: int = 0,
  eval_per_chip: int = 0,
  lengths: CompletionLengths | None = None,
  only: Sequence[str] = (),
  known: Mapping[str, Any] = MappingProxyType({}),
  whole: bool = True,
) -> dict[str, Any]:
  """Compiles the stages of a run, and returns a report of their costs.

  Args:
    config: a config whose family can give shapes without weights.
    topology: the topology of one slice, such as 'v5e:4x4', or its accelerator
      type, such as 'v5litepod-16'.
    slices: the number of slices.
    per_chip: prompts per step for each chip over which the batch is sharded; 0
      keeps the value of the config.
    eval_per_chip: prompts of a batch of an evaluation likewise.
    lengths: of completions; None if all fill their room.
    only: the names of the programs to compile; () for all.
    known: name -> costs of programs that are not compiled again.
    whole: compiles all programs; False ends at the first that does not fit.

  Raises:
    InputError: the topology or a program is unknown, libtpu is missing, or the
      mesh does not fit the devices.
  """
  topology = chip_table.topology_of(topology)
  chip = chip_table.chip_of(topology)
  devices = devices_of(topology, slices)
  mesh = make_mesh(config, devices)
  fit_to_chips(config, mesh.shape, per_chip, eval_per_chip)
  torus = torus_of(list(mesh.devices.flat), chip)
  stages = stages_of(config, mesh)
  steps = token_steps_of(config, mesh.shape, lengths)
  asked = model_flops(config)
  if lengths:
    asked |= model_flops(of_mean_length(config, lengths), steps)
  resident = _resident_bytes(stages)
  for name in only:
    if name not in stages:
      raise unknown_name(name, stages, 'program')
  stages = {name: s for name, s in stages.items() if not only or name in only}
  programs = dict(known)
  for name in sorted(stages, key=_turn):
    if name not in programs:
      drawn = steps.get(name)
      program = _program(stages[name], asked[name], chip, torus, slices, drawn)
      held = program.get('hbm_bytes', {}).get('arguments', resident)
      programs[name] = program | {
        'runs': stages[name].runs,
        'beside_bytes': max(0, resident - held),
      }
    if not (whole or fits(programs, chip.hbm)):
      break
  programs = {name: programs[name] for name in stages if name in programs}
  peak = max(map(needed_bytes, programs.values()))
  return {
    'fits': fits(programs, chip.hbm),
    'topology': topology,
    'num_slices': slices,
    'chips': len(devices) // chip.devices,
    'devices': len(devices),
    'mesh': dict(mesh.shape),
    'hbm_capacity_bytes': chip.hbm,
    'hbm_peak_bytes': peak,
    'peak_flops': chip.flops,
    'samples': config.prompts.prompts_per_step * config.prompts.group_size,
    'config': json.loads(json.dumps(config.to_dict())),  # Tuples to lists.
    'completion_lengths': lengths and lengths._asdict(),
    'versions': {'jax': jax.__version__},
    'programs': programs,
  }


def _turn(name: str) -> int:
  """Returns the place of a stage in `FIRST`; evaluations share one."""
  return FIRST.index('evaluation' if is_evaluation(name) else name)


def fits(programs: Mapping[str, Any], capacity: int) -> bool:
  """Returns True if no program is refused, or too large with what is beside."""
  return not any(
    'refused' in program or needed_bytes(program) > capacity
    for program in programs.values()
  )


def _resident_bytes(stages: Mapping[str, Stage]) -> int:
  """Returns the bytes of a device that a run holds from its first step on.

  They are the state, what no step changes, and the towers of rewards.
  """
  state, frozen, *_ = stages['update'].arguments
  towers = stages['reward'].arguments[1] if 'reward' in stages else ()

  def size(leaf: Any) -> int:
    shape = (
      leaf.sharding.shard_shape(leaf.shape) if leaf.sharding else leaf.shape
    )
    return math.prod(shape) * leaf.dtype.itemsize

  return sum(map(size, jax.tree.leaves((state, frozen, towers))))


def devices_of(topology: str, slices: int) -> Sequence[jax.Device]:
  """Returns the devices of a topology, as libtpu describes them."""
  from jax.experimental import topologies

  # libtpu must not search for a TPU, and several processes may compile.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
  options: dict[str, Any] = {}
  if topology.startswith('v4:'):  # Both cores of a chip are one device.
    options['chip_config_name'] = 'megacore'
  if topology.endswith(':1x1'):  # A host has more chips.
    options['chips_per_host_bounds'] = (1, 1, 1)
  try:
    return topologies.get_topology_desc(
      platform='tpu', topology_name=topology, num_slices=slices, **options
    ).devices
  except Exception as error:  # A plugin may raise anything.
    reason = str(error).splitlines()[0] if str(error) else repr(error)
    try:
      import libtpu  # noqa: F401
    except ImportError:
      raise InputError(
        'Expected libtpu, the compiler for TPUs, but it is not installed. Run '
        "pip install 'adrpo_jax[tpu]'. It works without a TPU."
      ) from error
    raise InputError(
      f'Expected a topology that libtpu knows, got {slices} × {topology!r}: '
      f'{reason}'
    ) from error


def _program(
  stage: Stage,
  asked: int,
  chip: chip_table.Chip,
  torus: Torus,
  slices: int,
  drawn: TokenSteps | None,
) -> dict[str, Any]:
  """Compiles one stage; the model asks for `asked` operations in it.

  `drawn` are the steps of its loops, where it draws tokens.
  """
  try:
    compiled, memory_use = memory.compile_and_measure(
      stage.function.lower(*stage.arguments)
    )
  except jax.errors.JaxRuntimeError as error:
    return costs.refused_costs(error)
  loops = Loops(drawn.steps, drawn.fills) if drawn else None
  found = costs.program_costs(
    compiled,
    memory_use,
    chip=chip,
    torus=torus,
    slices=slices,
    executed=flops.count(
      stage.function, *stage.arguments, loops=drawn and drawn.steps
    ),
    model=asked,
    loops=loops,
  )
  return found | ({'token_steps': drawn._asdict()} if drawn else {})
