"""Finds the mesh and the batch of a config for a topology, by compiling."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import math
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from adrpo_jax.compile.advice import is_evaluation, needed_bytes
from adrpo_jax.compile.chips import GIB
from adrpo_jax.compile.search import cheapest, largest
from adrpo_jax.errors import InputError

# (mesh, prompts for each chip, programs that are known) -> report; it may end
# at the first program that does not fit.
Compile = Callable[[Mapping[str, int], int, Mapping[str, Any]], dict[str, Any]]


Tried = tuple[int, int, int]  # fsdp, tensor, prompts for each chip


class Found(NamedTuple):
  """The mesh and the batch that were found, with the report of them."""

  fsdp: int
  tensor: int
  per_chip: int
  report: dict[str, Any]

  def flags(self) -> str:
    """Returns the words of a command line that choose them."""
    return (
      f'--config.mesh.fsdp={self.fsdp} --config.mesh.tensor={self.tensor} '
      f'--prompts_per_chip={self.per_chip}'
    )


def meshes(devices: int, slices: int) -> Iterator[dict[str, int]]:
  """Yields meshes, the cheapest first: what sends least, where it fits.

  Weights that are whole on each device are sent by nobody; fsdp sends them
  once for each use; tensor sends the activations of every layer, and is for
  models of which even one row is too large.
  """
  within = devices // slices
  powers = [2**i for i in range(within.bit_length()) if within % 2**i == 0]
  yield from ({'fsdp': fsdp, 'tensor': 1} for fsdp in powers)
  yield from ({'fsdp': within // n, 'tensor': n} for n in powers[1:4])


def unit_of(config: ConfigDict) -> int:
  """Returns what prompts of a chip are a multiple of: its parts of a step."""
  parts = config.compute
  return math.lcm(parts.microbatches, parts.reward_chunks)


def find(
  compiled: Compile,
  choices: Sequence[Mapping[str, int]],
  capacity: int,
  *,
  unit: int,
  least: int,
  most: int,
  say: Callable[[str], None],
) -> Found:
  """Finds the cheapest mesh that holds `least`, and its largest batch.

  Args:
    compiled: see `Compile`.
    choices: meshes, the cheapest first.
    capacity: bytes of a device.
    unit: prompts for each chip are multiples of it.
    least: prompts for each chip that are wanted, at least.
    most: prompts for each chip at which the search ends.
    say: is told of each try.

  Raises:
    InputError: no mesh holds `least`; it says why the last one does not.
  """
  reports: dict[Tried, dict[str, Any]] = {}
  sizes: dict[Tried, float] = {}
  verdict = ''

  def needs(mesh: Mapping[str, int], per_chip: int) -> float:
    nonlocal verdict
    tried = mesh['fsdp'], mesh['tensor'], per_chip
    if tried not in sizes:
      try:
        report = compiled(mesh, per_chip, _of_evaluation(reports, tried))
        verdict, sizes[tried] = _verdict(report)
        reports[tried] = report
      except InputError as error:
        verdict, sizes[tried] = str(error), math.inf
      say('fsdp {}, tensor {}, {} a chip: '.format(*tried) + verdict)
    return sizes[tried]

  first = unit * -(-least // unit)
  mesh = cheapest(choices, lambda mesh: needs(mesh, first) <= capacity)
  if mesh is None:
    raise InputError(
      f'Expected a mesh that holds {first} prompts for each chip, found none: '
      f'{verdict}.'
    )
  per_chip = unit * largest(
    lambda count: needs(mesh, unit * count),
    capacity,
    least=first // unit,
    most=max(most, first) // unit,
  )
  best = mesh['fsdp'], mesh['tensor'], per_chip
  return Found(*best, reports[best])


def _of_evaluation(
  reports: Mapping[Tried, dict[str, Any]], tried: Tried
) -> dict[str, Any]:
  """Returns programs of the same mesh that no batch of a step changes."""
  for (*mesh, _), report in reports.items():
    if mesh == [*tried[:2]]:
      programs = report['programs'].items()
      return {name: p for name, p in programs if is_evaluation(name)}
  return {}


def _verdict(report: Mapping[str, Any]) -> tuple[str, float]:
  """Returns what a try is told as, and the bytes of its largest program.

  They are infinite where the compiler refuses a program of a size that fits.
  """
  programs, capacity = report['programs'], report['hbm_capacity_bytes']
  name = max(programs, key=lambda name: needed_bytes(programs[name]))
  need = needed_bytes(programs[name])
  verb = 'fits' if report['fits'] else 'does not fit'
  text = f'{verb}, {need / GIB:.2f} of {capacity / GIB:.0f} GiB for {name}'
  odd = not report['fits'] and need <= capacity
  return text, math.inf if odd else need
