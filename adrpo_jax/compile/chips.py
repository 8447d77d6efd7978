"""Published speeds and memory sizes of TPU chips, and the names of slices.

Source: the Google Cloud documentation of v4, v5e, v5p, v6e and TPU7x, November
2026. Bandwidths are in bytes per second. The bandwidth of a link is that of one
of its directions: the published one of a chip, which counts both directions, by
twice the links of a chip, four on a torus of two axes and six of three.
"""

from collections.abc import Callable, Mapping
import math
import re
from typing import NamedTuple

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.system.peak_flops import PEAK_FLOPS

GIB = 2**30


# Sides of a torus -> for each, True if its last chip is linked to its first.
Rings = Callable[[tuple[int, ...]], tuple[bool, ...]]


def full_side(sides: tuple[int, ...]) -> tuple[bool, ...]:
  """v5e and v6e: a side of 16, that of the whole pod.

  Source: "How to scale your model", chapter 2, jax-ml.github.io/scaling-book.
  """
  return tuple(side == 16 for side in sides)


def full_cubes(sides: tuple[int, ...]) -> tuple[bool, ...]:
  """v4, v5p and TPU7x: all sides, where a slice is made of cubes of 4 × 4 × 4.

  Source: docs.cloud.google.com/tpu/docs/v5p.
  """
  return (all(side % 4 == 0 for side in sides),) * len(sides)


class Chip(NamedTuple):
  """The speeds of one device of JAX, which is a chip or a part of it.

  flops: bfloat16 operations per second
  hbm: bytes of memory
  hbm_rate: bandwidth of the memory
  link_rate: bandwidth of one link of the torus, in one direction
  dcn_rate: bandwidth of the network between slices: the share of one device in
    the bandwidth of its host
  rings: the sides of a torus that are rings
  devices: of a chip
  """

  flops: float
  hbm: int
  hbm_rate: float
  link_rate: float
  dcn_rate: float
  rings: Rings
  devices: int = 1


CHIPS = {
  'v4': Chip(PEAK_FLOPS['TPU v4'], 32 * GIB, 1228e9, 50e9, 3.1e9, full_cubes),
  'v5e': Chip(
    PEAK_FLOPS['TPU v5 lite'], 16 * GIB, 819e9, 50e9, 3.125e9, full_side
  ),
  'v5p': Chip(
    PEAK_FLOPS['TPU v5'], 95 * GIB, 2765e9, 100e9, 6.25e9, full_cubes
  ),
  'v6e': Chip(
    PEAK_FLOPS['TPU v6 lite'], 32 * GIB, 1600e9, 100e9, 12.5e9, full_side
  ),
  # Two devices, which share the links of their chip.
  'tpu7x': Chip(
    PEAK_FLOPS['TPU7x'], 96 * GIB, 3690e9, 50e9, 6.25e9, full_cubes, 2
  ),
}

# Slices by their number of chips, as Google Cloud offers them.
_FLAT = {
  math.prod(sides): sides
  for sides in (
    *((1, 1), (2, 2), (2, 4), (4, 4), (4, 8)),
    *((8, 8), (8, 16), (16, 16)),
  )
}
_SOLID = {
  math.prod(sides): sides
  for sides in (
    *((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8)),
    *((4, 8, 8), (8, 8, 8), (8, 8, 16), (8, 16, 16), (16, 16, 16)),
  )
}


class _Slices(NamedTuple):
  """How the accelerator types of a generation count.

  kind: of the chip
  cores: of a chip, where the number in a name is that of cores, else 1
  sides: number of chips -> the torus
  """

  kind: str
  cores: int
  sides: Mapping[int, tuple[int, ...]]


_ACCELERATORS = {
  'v5litepod': _Slices('v5e', 1, _FLAT),
  'v5e': _Slices('v5e', 1, _FLAT),
  'v6e': _Slices('v6e', 1, _FLAT),
  'v4': _Slices('v4', 2, _SOLID),
  'v5p': _Slices('v5p', 2, _SOLID),
}


def topology_of(name: str) -> str:
  """Returns the topology of an accelerator type; a topology stays as it is.

  >>> topology_of('v5litepod-16'), topology_of('v5p-16'), topology_of('v6e:2x4')
  ('v5e:4x4', 'v5p:2x2x2', 'v6e:2x4')

  Raises:
    InputError: there is no slice of that size.
  """
  matched = re.fullmatch(r'([a-z0-9]+)-(\d+)', name)
  if not matched:
    return name
  if matched[1] not in _ACCELERATORS:
    raise unknown_name(matched[1], _ACCELERATORS, 'kind of TPU')
  slices, count = _ACCELERATORS[matched[1]], int(matched[2])
  sizes = {chips * slices.cores: sides for chips, sides in slices.sides.items()}
  if count not in sizes:
    named = ', '.join(f'{matched[1]}-{size}' for size in sizes)
    raise InputError(f'Expected one of {named}, got {name!r}.')
  return f'{slices.kind}:{"x".join(map(str, sizes[count]))}'


def chip_of(topology: str) -> Chip:
  """Returns the chip of a topology such as 'v5e:4x4'."""
  kind = topology.partition(':')[0]
  if not topology.partition(':')[2]:
    raise InputError(
      'Expected a topology like v5e:4x4 or v5p:2x2x2, or a type like v6e-8, '
      f'got {topology!r}.'
    )
  if kind not in CHIPS:
    raise unknown_name(kind, CHIPS, 'kind of TPU')
  return CHIPS[kind]
