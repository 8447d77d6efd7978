"""The numbers of a step that follow from a compile report."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from adrpo_jax.scaling.cases import Case

KINDS = ('compute', 'memory', 'interconnect', 'between_slices')
# The programs of a step by the stages that a run measures.
STAGES = {
  'rollout': ('rollout', 'decoding'),
  'reward': ('reward',),
  'update': ('update',),
}


class Bounds(NamedTuple):
  """A step of a case.

  program, place, mesh: names
  chips: their number
  samples: of a step
  fits: True if all programs fit, those of an evaluation among them
  hbm: bytes of a device in the largest program, of `capacity`
  refused: why there are no programs, '' where there are
  stages: seconds of rollout, reward and update at least: for each program the
    largest of its bounds
  kinds: seconds of a step that each resource is busy for, at least
  link: bytes of a step on the busiest links
  sent: bytes of a step that a chip sends
  mfu: model-FLOP utilization at most
  """

  program: str
  place: str
  mesh: str
  chips: int = 0
  samples: int = 0
  fits: bool = False
  hbm: int = 0
  capacity: int = 0
  refused: str = ''
  stages: Mapping[str, float] = MappingProxyType({})
  kinds: Mapping[str, float] = MappingProxyType({})
  link: float = 0.0
  sent: float = 0.0
  mfu: float = 0.0

  @property
  def seconds(self) -> float:
    """Returns the seconds of a step at least, 0 where they are not known."""
    return sum(self.stages.values())

  @property
  def speed(self) -> float:
    """Returns samples per second at most, 0 where they are not known."""
    return self.samples / self.seconds if self.seconds else 0.0


def bounds_of(program: str, case: Case, record: Mapping[str, Any]) -> Bounds:
  """Returns the numbers of a program's case from its record, see `compiled`."""
  if 'refused' in record:
    mesh = _mesh_name(case.mesh) if case.mesh else 'mesh of the config'
    return Bounds(program, case.place, mesh, refused=record['refused'])
  report = record['report']
  bounds = Bounds(
    program=program,
    place=case.place,
    mesh=_mesh_name(report['mesh']),
    chips=report['chips'],
    samples=report['samples'],
    fits=report['fits'],
    hbm=report['hbm_peak_bytes'],
    capacity=report['hbm_capacity_bytes'],
  )
  programs = {n: p for n, p in report['programs'].items() if p['runs']}
  if any('refused' in program for program in programs.values()):
    return bounds

  def total(names: Any, value: Any) -> float:
    present = [programs[name] for name in names if name in programs]
    return sum(program['runs'] * value(program) for program in present)

  def largest(program: Mapping[str, Any]) -> float:
    return max(program['roofline']['seconds'].values())

  stages = {stage: total(names, largest) for stage, names in STAGES.items()}
  asked = total(programs, lambda p: p['model_flops']) / report['peak_flops']
  return bounds._replace(
    stages=stages,
    kinds={
      kind: total(programs, lambda p, kind=kind: p['roofline']['seconds'][kind])
      for kind in KINDS
    },
    link=total(programs, lambda p: max(p['link_bytes'].values(), default=0.0)),
    sent=total(programs, lambda p: p['collective_bytes']),
    mfu=asked / sum(stages.values()),
  )


def _mesh_name(mesh: Mapping[str, int]) -> str:
  """Returns the axes that are not 1: 'data 16, fsdp 16'."""
  axes = [f'{axis} {size}' for axis, size in mesh.items() if size != 1]
  return ', '.join(axes) or 'data 1'
