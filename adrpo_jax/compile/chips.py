"""Published speeds and memory sizes of TPU chips, by generation.

Source: the Google Cloud documentation of each version, November 2026.
Bandwidths are in bytes per second. The bandwidth of the interconnect is the sum
over all links of a chip in one direction; a collective along one axis of a
torus reaches only a part of it.
"""

from typing import NamedTuple

from adrpo_jax.errors import InputError, unknown_name

GIB = 2**30


class Chip(NamedTuple):
  """The speeds of one chip.

  flops: bfloat16 operations per second
  hbm: bytes of memory
  hbm_rate: bandwidth of the memory
  ici_rate: bandwidth of the interconnect within a slice
  dcn_rate: bandwidth of the network between slices: the share of one chip in
    the bandwidth of its host
  """

  flops: float
  hbm: int
  hbm_rate: float
  ici_rate: float
  dcn_rate: float


CHIPS = {
  'v4': Chip(275e12, 32 * GIB, 1228e9, 300e9, 3.1e9),
  'v5e': Chip(197e12, 16 * GIB, 819e9, 200e9, 3.1e9),
  'v5p': Chip(459e12, 95 * GIB, 2765e9, 600e9, 6.2e9),
  'v6e': Chip(918e12, 32 * GIB, 1640e9, 448e9, 6.2e9),
}


def chip_of(topology: str) -> Chip:
  """Returns the chip of a topology such as 'v5e:4x4'."""
  kind = topology.partition(':')[0]
  if not topology.partition(':')[2]:
    raise InputError(
      f'Expected a topology like v5e:4x4 or v5p:2x2x2, got {topology!r}.'
    )
  if kind not in CHIPS:
    raise unknown_name(kind, CHIPS, 'kind of TPU')
  return CHIPS[kind]
