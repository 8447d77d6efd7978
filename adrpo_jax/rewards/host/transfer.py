"""The transfer of samples to the host: those on the devices of this process."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import PromptBatch, PyTree

Place = tuple[int, ...]  # (p, g) of a sample


class Piece(NamedTuple):
  """An entry of an array, within the block on one device of this process."""

  block: jax.Array
  within: tuple[int, ...]

  def read(self) -> np.ndarray:
    """Returns the entry; waits for the device. A block is copied once."""
    return np.asarray(self.block)[self.within]


class Viewed(NamedTuple):
  """One sample for a judge on the host; both calls wait for the device.

  content: () -> an image [H, W, 3] uint8, or the text of an answer
  usable:  () -> True where it can be judged
  """

  content: Callable[[], Any]
  usable: Callable[[], Any]


class View(NamedTuple):
  """How a judge on the host gets samples.

  pieces: (what rewards see, leaves [P, G, ...]) -> place -> the sample, for
          those of this process; starts their copies to the host, does not wait
  batch:  (contents of B samples) -> the batch that the judge takes
  fault:  why samples are not usable; a message puts it behind their number
  """

  pieces: Callable[[PyTree], Mapping[Place, Viewed]]
  batch: Callable[[Sequence[Any]], Any]
  fault: str


class Sample(NamedTuple):
  """One sample of this process: its place, and the record of its prompt."""

  place: Place
  record: Any
  viewed: Viewed


def local_samples(
  view: View,
  records: Sequence[Any],
  prompts: PromptBatch,
  decoded: PyTree,
  name: str,
) -> list[Sample]:
  """The samples that this process judges; starts their copies.

  These lie on its devices, with their ids. Where a row lies on several
  processes, since the mesh axis `tensor` spans them, one of them judges it.

  Args:
    view: of the samples.
    records: of every prompt, what the judge gets; a sample has records[id].
    prompts: `types.PromptBatch`, of which the ids are read.
    seen: what rewards see, leaves [P, G, ...].
    name: of the reward, for messages.

  Raises:
    ValueError: ids beyond `records`, samples that are split over devices.
  """
  # The work of the device for the host is dispatched here, with the samples,
  # and so before the work of the next part: a device runs programs in order.
  viewed = view.pieces(decoded)
  rows = local_pieces(jnp.asarray(prompts.ids), 1)
  ids = {p: int(piece.read()) for (p,), piece in rows.items()}
  if not all(0 <= i < len(records) for i in ids.values()):
    raise ValueError(
      f'Expected prompt ids below {len(records)}, the number of prompts the '
      f'reward {name!r} was made with, got {list(ids.values())}.'
    )
  own = _own_rows(prompts.ids, jax.tree.leaves(decoded)[0])
  return [
    Sample(place, records[ids[place[0]]], one)
    for place, one in viewed.items()
    if place[0] in ids and place[0] in own
  ]


def _own_rows(*arrays: Any) -> Container[int]:
  """Returns the rows that this process takes of those on several processes.

  Processes that hold a row of all arrays take turns, row by row.
  """
  if jax.process_count() == 1:
    return range(len(arrays[0]))
  holders = [_holders(array) for array in arrays]
  own = set()
  for row in range(len(arrays[0])):
    able = sorted(set.intersection(*(held[row] for held in holders)))
    if able and able[row % len(able)] == jax.process_index():
      own.add(row)
  return own


def _holders(array: jax.Array) -> list[set[int]]:
  """Returns the processes that hold each row of an array."""
  holders: list[set[int]] = [set() for _ in range(len(array))]
  placed: Mapping[Any, Any] = array.sharding.devices_indices_map(array.shape)
  for device, index in placed.items():
    for row in range(len(array))[index[0]]:
      holders[row].add(device.process_index)
  return holders


def local_pieces(
  array: jax.Array, leading: int
) -> dict[tuple[int, ...], Piece]:
  """Index in the leading axes -> the entry there, for those on this process.

  Starts their copies to the host, and does not wait for them.

  Raises:
    ValueError: entries that are split over several devices.
  """
  pieces: dict[tuple[int, ...], Piece] = {}
  for shard in array.addressable_shards:
    block = shard.data
    if block.shape[leading:] != array.shape[leading:]:
      raise ValueError(
        'Expected arrays that are sharded by sample, got pieces of shape '
        f'{block.shape[leading:]} of samples of shape {array.shape[leading:]}.'
      )
    starts = tuple(index.start or 0 for index in shard.index[:leading])
    if starts in pieces:
      continue
    block.copy_to_host_async()
    for within in np.ndindex(*block.shape[:leading]):
      place = tuple(s + i for s, i in zip(starts, within, strict=True))
      pieces.setdefault(place, Piece(block, within))
  return pieces
