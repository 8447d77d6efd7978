"""The blocks in which the TPU kernel of attention works.

The kernel computes scores block by block, [queries, keys] in float32, in the
fast memory of a core (VMEM), of which a program has 16 MiB. Positions are
padded to whole blocks, and padding is computed like any position.

  all keys in one block  Lengths up to WHOLE are padded to a multiple of 128
                         only. Nothing is rescaled from block to block, and the
                         backward pass is one kernel of five products, where
                         queries and keys in turn take two kernels and seven.
  blocks of keys         Longer ones take the square blocks that pad least.
  a mask                 Smaller blocks, since the kernel leaves out those in
                         which nothing is attended to.

An image of 512² and its text, 1357 positions, are padded to 1408 = 11 · 128.
Blocks of 512 positions would make 1536 of them, and the work of a forward and a
backward pass 1.5 times as much.
"""

from typing import NamedTuple

LANES = 128  # the number of positions that divides every length
ROWS = 16  # the number of bfloat16 rows of a tile
SCORES = 2**20  # of a block: 4 MiB, a quarter of VMEM
WHOLE = 1664  # positions; v5p has no VMEM for 2048
SQUARE = range(384, 1024 + 1, LANES)  # sides of square blocks
MASKED = 512  # side of a block under a mask


class Blocks(NamedTuple):
  """The length that positions are padded to, and the sides of blocks.

  length:  positions with padding
  queries: of a block in the forward pass
  keys:    of a block in memory; in the backward pass as many queries
  rows:    of `keys`, those whose scores the backward pass holds at a time
  """

  length: int
  queries: int
  keys: int
  rows: int


def blocks_of(length: int, masked: bool) -> Blocks:
  """Returns the blocks for a number of positions.

  >>> blocks_of(1357, masked=False)
  Blocks(length=1408, queries=704, keys=1408, rows=704)
  >>> blocks_of(4429, masked=False)
  Blocks(length=4480, queries=896, keys=896, rows=896)
  """
  padded = _round_up(length, LANES)
  if masked:
    side = min(MASKED, padded)
    return Blocks(_round_up(length, side), side, side, side)
  if padded <= WHOLE:
    most = min(padded, SCORES // padded)
    rows = max(n for n in range(ROWS, most + 1, ROWS) if padded % n == 0)
    return Blocks(padded, rows, padded, rows)
  # Of two that pad alike, the larger one.
  side = min(SQUARE, key=lambda side: (_round_up(length, side), -side))
  return Blocks(_round_up(length, side), side, side, side)


def _round_up(length: int, block: int) -> int:
  return -(-length // block) * block
