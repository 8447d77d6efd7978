"""Rewards that are any Python: called in batches on a pool of threads.

What goes wrong in them is contained. A batch that raises, or comes back in
another shape, or numbers that are not finite, make those samples invalid; they
are counted, each kind of failure is logged once, and a run that loses more of
them than a limit stops.
"""

from collections.abc import Callable, Sequence
import concurrent.futures
import itertools
from typing import NamedTuple

from absl import logging
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.protocol import Prompts, check_invalid_share
from adrpo_jax.types import Array, Scores

HostFunction = Callable[[Sequence[str], np.ndarray], np.ndarray]


class _Sample(NamedTuple):
  """One sample of this process, and where it stands in [P, G]."""

  place: tuple[int, int]
  text: str
  image: np.ndarray  # [H, W, 3] uint8


class HostReward:
  """A reward of the protocol, computed by a Python function on the host.

  On several processes each one judges the samples on its own devices, and all
  of them get the scores of all. A batch fails as a whole: with batch_size 1, a
  sample that cannot be judged costs no other.

  Attributes:
    judged: samples looked at so far.
    invalid: those of them that could not be judged.
    reason: what went wrong the last time, as text; '' if nothing has.
  """

  def __init__(
    self,
    function: HostFunction,
    texts: Sequence[str],
    *,
    name: str,
    batch_size: int = 16,
    workers: int = 4,
    invalid_limit: float = 0.1,
  ):
    """Makes the reward; its threads start with the first call.

    Args:
      function: (texts of B prompts, images [B, H, W, 3] uint8) -> [B] numbers.
        Called from several threads at once; workers=1 keeps it to one.
      texts: of all prompts; those of a call are `texts[i]` for its ids.
      name: for messages.
      batch_size: the most samples in a call of the function.
      workers: threads.
      invalid_limit: the largest share of invalid samples in a call.
    """
    if batch_size < 1 or workers < 1 or not 0 <= invalid_limit <= 1:
      raise InputError(
        f'Expected batch_size ≥ 1, workers ≥ 1 and invalid_limit in [0, 1] of '
        f'reward {name!r}, got {batch_size}, {workers} and {invalid_limit}.'
      )
    self.judged, self.invalid, self.reason = 0, 0, ''
    self._function, self._texts, self._name = function, tuple(texts), name
    self._batch_size, self._limit = batch_size, invalid_limit
    self._pool = concurrent.futures.ThreadPoolExecutor(
      workers, f'reward-{name}'
    )
    self._shown: set[str] = set()

  def __call__(self, prompts: Prompts, images: Array) -> Scores:
    """prompts['ids'] [P], images [P, G, H, W, 3] in [0, 1] or uint8 -> Scores.

    Raises:
      RewardError: more invalid samples than the limit allows.
    """
    samples = self._samples(_whole(prompts['ids']), jnp.asarray(images))
    batches = [
      samples[i : i + self._batch_size]
      for i in range(0, len(samples), self._batch_size)
    ]
    rewards = np.full(images.shape[:2], np.nan, np.float32)
    judged = np.zeros(images.shape[:2], bool)
    for batch, numbers in zip(
      batches, self._pool.map(self._judge, batches), strict=True
    ):
      for sample, number in zip(batch, numbers, strict=True):
        rewards[sample.place] = number
        judged[sample.place] = True
    rewards = _of_all_processes(rewards, judged)
    valid = np.isfinite(rewards)
    self.judged += valid.size
    self.invalid += int((~valid).sum())
    check_invalid_share(
      float((~valid).mean()),
      limit=self._limit,
      name=f'The reward {self._name!r}',
      reason=self.reason,
    )
    return Scores(
      jnp.asarray(np.where(valid, rewards, 0)), jnp.asarray(valid), {}
    )

  def _samples(self, ids: np.ndarray, images: jax.Array) -> list[_Sample]:
    """The samples of this process whose image is a picture at all."""
    if ids.size and not 0 <= ids.min() <= ids.max() < len(self._texts):
      raise ValueError(
        f'Expected prompt ids below {len(self._texts)}, the number of texts '
        f'the reward {self._name!r} was made with, got {ids.tolist()}.'
      )
    quantised, finite = _quantise(images)
    held = _held(finite)
    broken = sum(not whole for whole in held.values())
    if broken:
      self._report(f'{broken} images were not finite.', 'images')
    return [
      _Sample(place, self._texts[ids[place[0]]], image)
      for place, image in _held(quantised).items()
      if held[place]
    ]

  def _judge(self, batch: list[_Sample]) -> np.ndarray:
    """One number for each sample, NaN where there is none."""
    try:
      numbers = np.asarray(
        self._function(
          tuple(s.text for s in batch), np.stack([s.image for s in batch])
        )
      )
      if numbers.shape != (len(batch),):
        raise ValueError(
          f'expected rewards of shape {(len(batch),)}, one for each image, got '
          f'{numbers.shape}'
        )
      numbers = numbers.astype(np.float32)
    except Exception as error:  # Any: it is not our code, and is reported.
      kind = type(error).__name__
      self._report(f'It raised {kind}: {error}.', kind)
      return np.full(len(batch), np.nan, np.float32)
    broken = numbers[~np.isfinite(numbers)]
    if broken.size:
      self._report(f'It returned {broken[0]} as a reward.', 'not finite')
    return numbers

  def _report(self, reason: str, kind: str) -> None:
    self.reason = reason
    if kind not in self._shown:
      self._shown.add(kind)
      logging.warning(
        'Reward %r: %s Such samples are left out and counted; the next of '
        'this kind are not shown.',
        self._name,
        reason,
      )


@jax.jit
def _quantise(images: Array) -> tuple[Array, Array]:
  """[P, G, H, W, 3] -> the same in uint8, and [P, G] whether it was finite."""
  finite = jnp.isfinite(images).all((2, 3, 4))
  if images.dtype == jnp.uint8:
    return images, finite
  whole = jnp.where(finite[..., None, None, None], images, 0.0)
  return jnp.round(jnp.clip(whole, 0, 1) * 255).astype(jnp.uint8), finite


def _held(array: jax.Array) -> dict[tuple[int, int], np.ndarray]:
  """[P, G, ...] -> (p, g) -> [...], for each sample on this process."""
  held: dict[tuple[int, int], np.ndarray] = {}
  for shard in array.addressable_shards:
    rows, columns = (
      range(*index.indices(size))
      for index, size in zip(shard.index[:2], array.shape[:2], strict=True)
    )
    if (rows[0], columns[0]) in held:
      continue
    block = np.asarray(shard.data)
    if block.shape[2:] != array.shape[2:]:
      raise ValueError(
        'Expected images that are sharded by sample, got pieces of shape '
        f'{block.shape[2:]} of images of shape {array.shape[2:]}.'
      )
    for (i, p), (j, g) in itertools.product(
      enumerate(rows), enumerate(columns)
    ):
      held[p, g] = block[i, j]
  return held


def _whole(ids: Array) -> np.ndarray:
  """All ids [P], also where each process holds some of them."""
  if isinstance(ids, jax.Array) and not ids.is_fully_addressable:
    ids = multihost_utils.process_allgather(ids, tiled=True)
  return np.asarray(ids)


def _of_all_processes(rewards: np.ndarray, judged: np.ndarray) -> np.ndarray:
  """[P, G], each entry from the first process that has judged that sample."""
  if jax.process_count() == 1:
    return rewards
  everyones = multihost_utils.process_allgather((rewards, judged))  # [*, P, G]
  first = np.argmax(everyones[1], 0)[None]
  return np.take_along_axis(np.asarray(everyones[0]), first, 0)[0]
