"""The bytes that a collective puts on each link of a torus.

A chip has two links along each axis of its torus, one to either side. A
collective over a group of chips uses those of the axes that the group spans:

  a side of the torus that closes to a ring   2   data goes both ways around
  a line of neighbors                         1   each end has one neighbor
  every k-th chip of either               1/k as many: k groups share the links

The best algorithms cut the data by axes and use all of these links at once. So

  bytes of a link = bytes sent · hops / links,   links summed over the axes,

where hops is 1, but n/4 for an all-to-all among n > 4 chips of an axis, whose
data passes through chips between. Sources: "How to scale your model", chapters
2 and 3, jax-ml.github.io/scaling-book; Chan et al., "Collective communication",
2007, for the lower bounds of a line and of a ring.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
import itertools
import math
from typing import NamedTuple

import jax

from adrpo_jax.compile.chips import Chip
from adrpo_jax.compile.hlo import Collective

AXES = 'xyz'

Place = tuple[int, ...]


class Torus(NamedTuple):
  """The places of devices in a slice.

  places: coordinates of the chip of each device, by its number in the program
  sides: chips along each axis
  rings: for each axis, True if its last chip is linked to its first
  """

  places: Sequence[Place]
  sides: tuple[int, ...]
  rings: tuple[bool, ...]


def torus_of(devices: Sequence[jax.Device], chip: Chip) -> Torus:
  """Returns the torus of devices in the order of a mesh."""
  places = [tuple(device.coords) for device in devices]
  sides = tuple(max(axis) + 1 for axis in zip(*places, strict=True))
  return Torus(places, sides, chip.rings(sides))


def links_of(places: Iterable[Place], torus: Torus) -> dict[str, float]:
  """Returns axis -> the links along it that a group of chips uses.

  A group that does not fill a box counts with one link of its longest axis.
  """
  distinct = set(places)
  if len(distinct) < 2:
    return {}
  spans = {
    axis: points
    for axis, points in enumerate(
      sorted(set(line)) for line in zip(*distinct, strict=True)
    )
    if len(points) > 1
  }
  if math.prod(map(len, spans.values())) > len(distinct):
    longest = max(spans, key=lambda axis: len(spans[axis]))
    return {AXES[longest]: 1.0}
  links = {}
  for axis, points in spans.items():
    stride = max(b - a for a, b in itertools.pairwise(points))
    closes = torus.rings[axis] and len(points) * stride == torus.sides[axis]
    links[AXES[axis]] = (2 if closes else 1) / stride
  return links


def link_bytes(collective: Collective, torus: Torus) -> dict[str, float]:
  """Returns axis -> the bytes on each of its links, in one execution."""
  places = [torus.places[member] for member in collective.members]
  links = links_of(places, torus)
  hops = 1.0
  if collective.kind == 'all-to-all':
    longest = max(len(set(line)) for line in zip(*places, strict=True))
    hops = max(1.0, longest / 4)
  total = sum(links.values())
  return dict.fromkeys(links, collective.sent * hops / total if links else 0.0)


def axis_loads(
  collectives: Iterable[Collective], torus: Torus
) -> dict[str, float]:
  """Returns axis -> the bytes on each of its links, in a whole program."""
  loads: dict[str, float] = defaultdict(float)
  for collective in collectives:
    for axis, size in link_bytes(collective, torus).items():
      loads[axis] += size * collective.times
  return dict(sorted(loads.items()))
