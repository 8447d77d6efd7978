"""Samples on their way to the host: what this process holds of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.types import PromptBatch, PyTree

Place = tuple[int, ...]  # (p, g) of a sample


class Piece(NamedTuple):
  """An entry of an array, within what one device of this process holds."""

  block: jax.Array
  within: tuple[int, ...]

  def read(self) -> np.ndarray:
    """The entry; waits for the device. The block comes to the host once."""
    return np.asarray(self.block)[self.within]


class Viewed(NamedTuple):
  """One sample as a judge on the host gets it; both calls wait for the device.

  content: an image [H, W, 3] uint8, or an answer's text
  usable:  whether it is fit to be judged
  """

  content: Callable[[], Any]
  usable: Callable[[], Any]


class View(NamedTuple):
  """How a judge on the host sees samples.

  pieces: (what rewards see, leaves [P, G, ...]) -> those of this process by
          their place; starts the way of each to the host, and waits for nothing
  batch:  (contents of B samples) -> the same as the judge takes them
  fault:  what is wrong with samples that are not usable, behind their number
  """

  pieces: Callable[[PyTree], Mapping[Place, Viewed]]
  batch: Callable[[Sequence[Any]], Any]
  fault: str


class Sample(NamedTuple):
  """One sample of this process, where it stands, and what its prompt is."""

  place: Place
  told: Any
  viewed: Viewed


def held_samples(
  view: View, told: Sequence[Any], prompts: PromptBatch, seen: PyTree, name: str
) -> list[Sample]:
  """The samples whose content and id this process holds, on their way.

  Args:
    view: of the samples.
    told: of every prompt, what the judge is told; a sample has told[id].
    prompts: `types.PromptBatch`, of which the ids are read.
    seen: what rewards see, leaves [P, G, ...].
    name: of the reward, for messages.

  Raises:
    ValueError: ids beyond `told`, samples that lie in pieces.
  """
  # What the device does for the host is dispatched here, with the samples, and
  # so before the work of the next part: a device works in order.
  viewed = view.pieces(seen)
  rows = held(jnp.asarray(prompts.ids), 1)
  ids = {p: int(piece.read()) for (p,), piece in rows.items()}
  if not all(0 <= i < len(told) for i in ids.values()):
    raise ValueError(
      f'Expected prompt ids below {len(told)}, the number of prompts the '
      f'reward {name!r} was made with, got {list(ids.values())}.'
    )
  return [
    Sample(place, told[ids[place[0]]], one)
    for place, one in viewed.items()
    if place[0] in ids
  ]


def held(array: jax.Array, leading: int) -> dict[tuple[int, ...], Piece]:
  """Index in the leading axes -> that entry, for those on this process.

  Starts the way of each to the host, and does not wait for it.

  Raises:
    ValueError: entries that lie in pieces on several devices.
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
