"""The mesh of a config: devices that share weights, chosen where it says 0."""

from collections.abc import Callable, Iterable, Sequence
import math

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders import adaptation, mesh_rule
from adrpo_jax.builders.families import family_of
from adrpo_jax.builders.methods import make_method
from adrpo_jax.builders.parts import make_optimizer
from adrpo_jax.builders.programs import make_programs
from adrpo_jax.errors import InputError
from adrpo_jax.system.device_memory import GIB, memory_bytes
from adrpo_jax.types import PyTree


def tell(line: str) -> None:
  """Prints a line on process 0."""
  if jax.process_index() == 0:
    print(line, flush=True)


def make_mesh(
  config: ConfigDict,
  devices: Sequence[jax.Device] | None = None,
  report: Callable[[str], None] = tell,
) -> jax.sharding.Mesh:
  """Makes the mesh of a config, over all devices or over those given.

  An fsdp of 0 is chosen by `mesh_rule`, anew whenever a run goes on: its
  checkpoints fit any mesh. `report` is told what is chosen, and why.

  Raises:
    InputError: the mesh does not fit the devices, or the weights do not.
  """
  axes = config.mesh.to_dict()
  if axes['fsdp'] == 0:
    here = jax.devices() if devices is None else devices
    axes['fsdp'], reason = _chosen_fsdp(config, here)
    report(reason)
  return sharding.make_mesh(**axes, devices=devices)


def with_gather(config: ConfigDict, mesh: jax.sharding.Mesh) -> ConfigDict:
  """Returns the config, its `compute.gather` chosen where it says auto."""
  if config.compute.get('gather') != 'auto':
    return config
  chosen = config.copy_and_resolve_references()
  chosen.compute.gather = _chosen_gather(config, mesh)
  return chosen


def _chosen_fsdp(
  config: ConfigDict, devices: Sequence[jax.Device]
) -> tuple[int, str]:
  """Returns an fsdp, and a line that says why."""
  family, memory = family_of(config), memory_bytes(_own(devices))
  if memory is None:
    return 1, 'mesh.fsdp is 1: the memory of a device has no known limit.'
  if family.shapes is None:
    return 1, 'mesh.fsdp is 1: the model is a small one.'
  tensor = config.mesh.tensor
  counts = mesh_rule.counts_of(
    len(devices), sharding.slices_of(devices), tensor, config.mesh.data
  )
  sizes = _sizes(config)
  gathers = mesh_rule.GATHERS_OF[family.modality]
  choice = mesh_rule.choose(sizes, memory, tensor, counts or [1], gathers)
  shown = f'{choice.resident / GIB:.1f} of {memory / GIB:.1f} GiB'
  if choice.resident > memory:
    raise InputError(
      f'Expected weights that {len(devices)} devices can hold, got {shown} for '
      'each of them. Take more devices, --config.model.lora_rank=32, or a '
      'larger --config.mesh.tensor.'
    )
  whole = mesh_rule.resident(sizes, 1, tensor) / GIB
  return choice.fsdp, (
    f'mesh.fsdp is {choice.fsdp}: weights then take {shown} of a device'
    + (f', and {whole:.1f} unshared.' if choice.fsdp > 1 else '.')
  )


def _chosen_gather(config: ConfigDict, mesh: jax.sharding.Mesh) -> str:
  family, memory = family_of(config), memory_bytes(_own(mesh.devices.flat))
  fsdp, tensor = mesh.shape['fsdp'], mesh.shape['tensor']
  if fsdp == 1 or memory is None or family.shapes is None:
    return mesh_rule.GATHERS[0]
  return mesh_rule.choose(_sizes(config), memory, tensor, [fsdp]).gather


def _own(devices: Iterable[jax.Device]) -> jax.Device:
  """Returns a device of this process, which alone can be asked, if any."""
  first, *others = devices
  process = jax.process_index()
  return next((d for d in others if d.process_index == process), first)


def _sizes(config: ConfigDict) -> mesh_rule.Sizes:
  """Returns the sizes of a run, from the shapes of its weights alone."""
  family = family_of(config)
  if family.shapes is None:
    raise ValueError(f'Expected a family with shapes, got {family}.')
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.local_devices()[:1])
  generator = family.shapes(config, mesh)
  programs = make_programs(
    config,
    make_method(config, family.methods),
    generator,
    adaptation.make_adaptation(config.model),
    mesh,
    optimizer=make_optimizer(config.training),
  )
  state, parts = programs.abstract, 1 + (config.compute.microbatches > 1)
  reference = generator.frozen['reference']
  others = {k: v for k, v in generator.frozen.items() if k != 'reference'}
  used = jnp.dtype(config.model.dtype).itemsize
  once = _count(reference) * min(used, _itemsize(reference))
  lora = config.model.lora_rank > 0
  trained = _count(state.params) * used
  copies = state.old, state.ema, state.reference
  older = sum(copy is not None for copy in copies)
  return mesh_rule.Sizes(
    whole=_bytes(others),
    frozen=_bytes(reference),
    # A gradient, and with microbatches the sum of those before it.
    trained=_bytes(state) + parts * _bytes(state.params),
    policy=once + trained if lora else once,
    anchors=older * trained + (0 if lora else once),
  )


def _count(tree: PyTree) -> int:
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _bytes(tree: PyTree) -> int:
  return sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


def _itemsize(tree: PyTree) -> int:
  return max(leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
