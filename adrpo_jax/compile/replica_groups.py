"""The devices that take part in one collective, from a line of HLO.

The first of its groups stands for all: the others have its shape. HLO writes
groups in several ways:

  replica_groups={{0,1},{2,3}}                      lists
  replica_groups=[2,4]<=[4,2]T(1,0)                 0, 1, 2, ... as [4, 2],
                                                    transposed, as 2 rows of 4
  replica_groups=mesh['x'=2,'y'=4], device_ids=([4,2]T(1,0)) {'x','y':(1)2}
                                                    axes of a mesh, or the part
                                                    of an axis, :(outer)size
  source_target_pairs={{0,1},{1,0}}                 of a permutation
"""

import math
import re

import numpy as np

_LISTS = re.compile(r'replica_groups=\{\{([\d,]+)\}')
_IOTA = re.compile(
  r'replica_groups=\[\d+,(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?'
)
_MESH = re.compile(
  r'replica_groups=mesh\[([^\]]*)\]'
  r'(?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))?\s*\{([^}]*)\}'
)
_PAIRS = re.compile(r'source_target_pairs=\{(.*?)\}\}')


def first_group(rest: str, devices: int) -> tuple[int, ...]:
  """Returns the ids of the devices in the first group of a collective.

  Args:
    rest: the part of a line of HLO after the name of its operation.
    devices: the number of devices, which form one group where none is named.
  """
  if listed := _LISTS.search(rest):
    return _numbers(listed[1])
  if iota := _IOTA.search(rest):
    return tuple(_ids(iota[2], iota[3])[: int(iota[1])])
  if mesh := _MESH.search(rest):
    return _along_axes(*mesh.groups())
  if pairs := _PAIRS.search(rest):
    return _chain(re.findall(r'(\d+),(\d+)', pairs[1]))
  return tuple(range(devices))


def _numbers(text: str) -> tuple[int, ...]:
  return tuple(int(number) for number in text.split(','))


def _ids(shape: str, order: str | None) -> list[int]:
  """Returns 0, 1, 2, ... of that shape, transposed, as a flat list."""
  sizes = _numbers(shape)
  ids = np.arange(math.prod(sizes)).reshape(sizes)
  axes = _numbers(order) if order else range(ids.ndim)
  return ids.transpose(*axes).ravel().tolist()


def _along_axes(
  mesh: str, shape: str | None, order: str | None, axes: str
) -> tuple[int, ...]:
  """Returns the ids along some axes of a mesh, at the start of the others."""
  sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", mesh)}
  ids = _ids(shape or ','.join(map(str, sizes.values())), order)
  taken = {name: [0] for name in sizes}
  for name, outer, part in re.findall(r"'(\w+)'(?::\((\d+)\)(\d+))?", axes):
    count = int(part or sizes[name])
    step = sizes[name] // (int(outer or 1) * count)
    taken[name] = [i * step for i in range(count)]
  places = np.reshape(ids, tuple(sizes.values()))[np.ix_(*taken.values())]
  return tuple(places.ravel().tolist())


def _chain(pairs: list[tuple[str, str]]) -> tuple[int, ...]:
  """Returns the devices that pass data on, from the first pair that does."""
  following = {int(a): int(b) for a, b in pairs if a != b}
  if not following:
    return (0,)
  chain = [next(iter(following))]
  while following.get(chain[-1], chain[0]) not in chain:
    chain.append(following[chain[-1]])
  return tuple(chain)
