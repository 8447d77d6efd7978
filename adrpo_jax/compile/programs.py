"""Compiles the stages of a config for a topology of TPUs, without any."""

from collections.abc import Sequence
import json
from typing import Any

import jax
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders.abstract_stages import Stage, stages_of
from adrpo_jax.compile import chips as chip_table
from adrpo_jax.compile import costs, flops, memory
from adrpo_jax.errors import InputError


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
    compiled, held = memory.compiled(function.lower(*arguments))
  except jax.errors.JaxRuntimeError as error:
    return costs.refused(error)
  return costs.costs(
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
