"""Rewards that are any Python: called in batches on a pool of threads.

What goes wrong in them is contained. A batch that raises, or comes back in
another shape, or numbers that are not finite, make those samples invalid; they
are counted, each kind of failure is logged once, and a run that loses more of
them than a limit stops.
"""

from collections.abc import Callable, Sequence
import concurrent.futures
from typing import NamedTuple

from absl import logging
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.held import Piece, held, quantise
from adrpo_jax.rewards.overlap import interleaved
from adrpo_jax.rewards.protocol import Prompts, check_invalid_share
from adrpo_jax.types import Array, Scores

HostFunction = Callable[[Sequence[str], np.ndarray], np.ndarray]


class _Sample(NamedTuple):
  """One sample of this process, and where it stands in [P, G]."""

  place: tuple[int, ...]
  text: str
  image: Piece  # [H, W, 3] uint8
  finite: Piece  # [] bool


class _Begun(NamedTuple):
  """Samples [P, G] of which batches are on their way to the function."""

  shape: tuple[int, ...]
  batches: list[tuple[list[_Sample], concurrent.futures.Future[np.ndarray]]]


class HostReward:
  """A reward of the protocol, computed by a Python function on the host.

  It has the stages of `overlap`. `begin` queues batches and waits for nothing
  that the device makes: the threads wait for the images, `finish` for the
  threads.

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
      invalid_limit: the largest share of invalid samples in a step.
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
    return self.finish([self.begin(prompts, images)])

  def begin(self, prompts: Prompts, images: Array) -> _Begun:
    """Queues batches of the samples whose image and id this process holds."""
    samples = self._samples(jnp.asarray(prompts['ids']), jnp.asarray(images))
    batches = [
      samples[i : i + self._batch_size]
      for i in range(0, len(samples), self._batch_size)
    ]
    return _Begun(
      images.shape[:2],
      [(batch, self._pool.submit(self._judge, batch)) for batch in batches],
    )

  def finish(self, begun: Sequence[_Begun]) -> Scores:
    """Waits for all that was begun; the limit holds for all of it together.

    Raises:
      RewardError: more invalid samples than the limit allows.
    """
    try:
      rewards = _of_all_processes(*_filled(begun))
    finally:
      for part in begun:
        for _, judged in part.batches:
          judged.cancel()  # Those that wait still, where one has failed.
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

  def _samples(self, rows: jax.Array, images: jax.Array) -> list[_Sample]:
    # What the device does for the host is dispatched here, with the images, and
    # so before the work of the next part: a device works in order.
    quantised, finite = (held(array, 2) for array in quantise(images))
    ids = {p: int(piece.read()) for (p,), piece in held(rows, 1).items()}
    if not all(0 <= i < len(self._texts) for i in ids.values()):
      raise ValueError(
        f'Expected prompt ids below {len(self._texts)}, the number of texts '
        f'the reward {self._name!r} was made with, got {list(ids.values())}.'
      )
    return [
      _Sample(place, self._texts[ids[place[0]]], image, finite[place])
      for place, image in quantised.items()
      if place[0] in ids
    ]

  def _judge(self, batch: list[_Sample]) -> np.ndarray:
    """One number for each sample, NaN where there is none."""
    finite = np.array([sample.finite.read() for sample in batch])
    rewards = np.full(len(batch), np.nan, np.float32)
    if not finite.all():
      self._report(f'{np.sum(~finite)} images were not finite.', 'images')
    whole = [s for s, is_whole in zip(batch, finite, strict=True) if is_whole]
    if whole:
      rewards[finite] = self._asked(
        tuple(sample.text for sample in whole),
        np.stack([sample.image.read() for sample in whole]),
      )
    return rewards

  def _asked(self, texts: tuple[str, ...], images: np.ndarray) -> np.ndarray:
    """What the function says; NaN of all where it fails."""
    try:
      numbers = np.asarray(self._function(texts, images))
      if numbers.shape != (len(texts),):
        raise ValueError(
          f'expected rewards of shape {(len(texts),)}, one for each image, got '
          f'{numbers.shape}'
        )
      numbers = numbers.astype(np.float32)
    except Exception as error:  # Any: it is not our code, and is reported.
      kind = type(error).__name__
      self._report(f'It raised {kind}: {error}.', kind)
      return np.full(len(texts), np.nan, np.float32)
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


def _filled(begun: Sequence[_Begun]) -> tuple[np.ndarray, np.ndarray]:
  """The rewards [P, G], and which samples this process has looked at [P, G]."""
  rewards, seen = [], []
  for shape, batches in begun:
    rewards.append(np.full(shape, np.nan, np.float32))
    seen.append(np.zeros(shape, bool))
    for samples, numbers in batches:
      for sample, number in zip(samples, numbers.result(), strict=True):
        rewards[-1][sample.place] = number
        seen[-1][sample.place] = True
  return interleaved(rewards, np.stack), interleaved(seen, np.stack)


def _of_all_processes(rewards: np.ndarray, seen: np.ndarray) -> np.ndarray:
  """[P, G], each entry from the first process that has looked at it."""
  if jax.process_count() > 1:
    everyones = multihost_utils.process_allgather((rewards, seen))  # [*, P, G]
    first = np.argmax(everyones[1], 0)[None]
    rewards = np.take_along_axis(np.asarray(everyones[0]), first, 0)[0]
    seen = np.max(everyones[1], 0)
  if not seen.all():
    raise ValueError(
      'Expected a process that holds image and id of each sample, got none for '
      f'{np.sum(~seen)} of {seen.size}. Place ids and images alike, by prompt.'
    )
  return rewards
