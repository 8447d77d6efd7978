"""The cases of a scaling study: a place, a mesh, and a batch."""

from collections.abc import Callable, Mapping, Sequence
import re
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from adrpo_jax.compile.chips import chip_of, topology_of
from adrpo_jax.errors import InputError


class Case(NamedTuple):
  """What is compiled.

  topology: of one slice
  slices: their number
  mesh: axes that replace those of the config, {} for its own
  per_chip: prompts for each chip that shares a batch; 0 for the config's batch
  """

  topology: str
  slices: int
  mesh: Mapping[str, int]
  per_chip: int

  @property
  def place(self) -> str:
    """Returns the name of the place, as it is given: 2xv5e:16x16."""
    return (
      f'{self.slices}x{self.topology}' if self.slices > 1 else self.topology
    )

  @property
  def name(self) -> str:
    """Returns the name of a file for it, without a suffix."""
    axes = [f'{axis}{size}' for axis, size in self.mesh.items()]
    batch = f'{self.per_chip}_a_chip' if self.per_chip else 'one_batch'
    return '_'.join([self.place.replace(':', '_'), *axes, batch])


def parse_place(text: str) -> tuple[str, int]:
  """Returns topology and number of slices.

  >>> parse_place('v5e:4x4'), parse_place('2xv5litepod-256')
  (('v5e:4x4', 1), ('v5e:16x16', 2))

  Raises:
    InputError: the text names no topology.
  """
  matched = re.match(r'(\d+)x(?=[a-z])', text)
  slices = int(matched[1]) if matched else 1
  if slices < 1:
    raise InputError(f'Expected one slice or more, got {text!r}.')
  topology = topology_of(text[matched.end() :] if matched else text)
  chip_of(topology)
  return topology, slices


def parse_mesh(text: str) -> dict[str, int]:
  """Returns the axes of FSDP or FSDPxTENSOR.

  >>> parse_mesh('16'), parse_mesh('8x2')
  ({'fsdp': 16, 'tensor': 1}, {'fsdp': 8, 'tensor': 2})

  Raises:
    InputError: the text is neither.
  """
  matched = re.fullmatch(r'(\d+)(?:x(\d+))?', text)
  if not matched:
    raise InputError(
      'Expected a mesh as FSDP or FSDPxTENSOR, such as 16 or 8x2, got '
      f'{text!r}.'
    )
  return {'fsdp': int(matched[1]), 'tensor': int(matched[2] or 1)}


def cases(
  places: Sequence[str], meshes: Sequence[str], per_chip: int
) -> list[Case]:
  """Returns each mesh at each place; without meshes, that of the config.

  Args:
    places: see `parse_place`.
    meshes: see `parse_mesh`.
    per_chip: prompts for each chip (weak scaling), 0 for the batch of the
      config everywhere (strong scaling).

  Raises:
    InputError: no place, or a place or a mesh that there is not.
  """
  if not places:
    raise InputError(
      'Expected --topologies=v5e:2x2,v5e:4x4,2xv5e:16x16 or others, got none.'
    )
  axes = [parse_mesh(text) for text in meshes] or [{}]
  return [
    Case(*parse_place(place), mesh, per_chip)
    for mesh in axes
    for place in places
  ]


def applied(config: ConfigDict, case: Case) -> ConfigDict:
  """Returns the config with the mesh of a case."""
  config = config.copy_and_resolve_references()
  config.mesh.update(case.mesh)
  return config


# (config, case) -> a report of `compile.programs.compile_stages`
Compile = Callable[[ConfigDict, Case], dict[str, Any]]
