"""Rewards that are any Python: called in batches on a pool of threads.

Failures are contained. Where a call raises, returns another shape or returns
numbers that are not finite, those samples become invalid; they are counted,
each kind of failure is logged once, and a run that loses a larger share of
samples than a limit stops.
"""

from collections.abc import Callable, Iterator, Sequence
import concurrent.futures
from typing import Any, NamedTuple

from absl import logging
import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.host.image_view import IMAGES
from adrpo_jax.rewards.host.numbers import gather_rows, number_rows
from adrpo_jax.rewards.host.transfer import Place, Sample, View, local_samples
from adrpo_jax.rewards.protocol import check_invalid_share
from adrpo_jax.types import PromptBatch, PyTree, Scores

# (records of B prompts, B samples) -> [B] numbers, or name -> [B].
HostFunction = Callable[[Sequence[Any], Any], Any]


class _Pending(NamedTuple):
  """Samples [P, G] whose batches are queued for the function.

  others: the places of samples that are not judged
  """

  shape: tuple[int, ...]
  batches: list[tuple[list[Sample], concurrent.futures.Future[np.ndarray]]]
  others: list[Place]

  def rows(self, width: int) -> Iterator[tuple[Place, np.ndarray]]:
    """(place, row) of each sample; waits for the threads.

    A row is 1 and `width` numbers, or zeros for a sample that is not judged.
    """
    zeros = np.zeros(1 + width, np.float32)
    yield from ((place, zeros) for place in self.others)
    for samples, future in self.batches:
      for sample, numbers in zip(samples, future.result(), strict=True):
        yield sample.place, np.append(np.float32(1), numbers)


class HostReward:
  """A reward of the protocol, computed by a Python function on the host.

  It has the stages of `overlap`. `begin` queues batches and does not wait for
  the device: the threads wait for the samples, and `finish` waits for the
  threads.

  With several processes, each judges samples on its own devices, every sample
  is judged once, and every process gets all scores. A batch fails as a whole:
  with batch_size 1, a sample that cannot be judged costs no other.

  Attributes:
    num_judged: samples judged so far, without those of prompts without record.
    num_invalid: samples among them that could not be judged.
    last_failure: the last failure, as text; '' where there was none.
  """

  def __init__(
    self,
    function: HostFunction,
    records: Sequence[Any],
    *,
    name: str,
    batch_size: int = 16,
    workers: int = 4,
    invalid_limit: float = 0.1,
    view: View = IMAGES,
    measures: Sequence[str] = (),
  ):
    """Makes the reward; its threads start with the first call.

    Args:
      function: (records of B prompts, B samples) -> [B] numbers; or, where
        there are measures, name -> [B] for 'reward' and each of them. Images
        come as one array [B, H, W, 3] uint8, answers as a tuple of texts. It is
        called from several threads at once; workers=1 allows one.
      records: of all prompts, what the function gets of each: its text, or any
        object. A call gets `records[i]` for the ids i of its prompts. None
        stands for a prompt whose samples are not judged: their numbers are 0.
      name: for messages.
      batch_size: the largest number of samples in a call of the function.
      workers: threads.
      invalid_limit: the largest share of invalid samples in a step.
      view: how the function gets samples: `image_view.IMAGES`, or a
        `text_view.text_view`.
      measures: names of the further numbers that it returns. They are stated in
        advance, so that every step and every process has the same.
    """
    if batch_size < 1 or workers < 1 or not 0 <= invalid_limit <= 1:
      raise InputError(
        f'Expected batch_size ≥ 1, workers ≥ 1 and invalid_limit in [0, 1] of '
        f'reward {name!r}, got {batch_size}, {workers} and {invalid_limit}.'
      )
    self.num_judged, self.num_invalid, self.last_failure = 0, 0, ''
    self._function, self._records = function, tuple(records)
    self._name = name
    self._batch_size, self._limit = batch_size, invalid_limit
    self._view, self._names = view, ('reward', *measures)
    self._pool = concurrent.futures.ThreadPoolExecutor(
      workers, f'reward-{name}'
    )
    self._logged: set[str] = set()

  def __call__(self, prompts: PromptBatch, decoded: PyTree) -> Scores:
    """prompts.ids [P], samples as the view takes them -> Scores [P, G].

    Raises:
      RewardError: more invalid samples than the limit allows.
    """
    return self.finish([self.begin(prompts, decoded)])

  def begin(self, prompts: PromptBatch, decoded: PyTree) -> _Pending:
    """Queues batches of the samples that lie on this process with their ids."""
    local = local_samples(
      self._view, self._records, prompts, decoded, self._name
    )
    samples = [sample for sample in local if sample.record is not None]
    batches = [
      samples[i : i + self._batch_size]
      for i in range(0, len(samples), self._batch_size)
    ]
    return _Pending(
      jax.tree.leaves(decoded)[0].shape[:2],
      [(batch, self._pool.submit(self._judge, batch)) for batch in batches],
      [sample.place for sample in local if sample.record is None],
    )

  def finish(self, parts: Sequence[_Pending]) -> Scores:
    """Waits for all parts of a step; the limit holds for the whole step.

    A sample with a number that is not finite is invalid; its numbers are 0. The
    limit is on their share of the samples that are judged.

    Raises:
      RewardError: more invalid samples than the limit allows.
    """
    width = len(self._names)
    try:
      rows = gather_rows(
        [(part.shape, part.rows(width)) for part in parts],
        np.full(1 + width, np.nan, np.float32),
      )
    finally:
      for part in parts:
        for _, future in part.batches:
          future.cancel()  # Batches that still wait, where one has failed.
    judged, numbers = int(rows[..., 0].sum()), rows[..., 1:]
    valid = np.isfinite(numbers).all(-1)
    invalid = int((~valid).sum())
    self.num_judged += judged
    self.num_invalid += invalid
    check_invalid_share(
      invalid / max(judged, 1),
      limit=self._limit,
      name=f'The reward {self._name!r}',
      reason=self.last_failure,
    )
    numbers = np.where(valid[..., None], numbers, 0)
    named = {k: jnp.asarray(numbers[..., i]) for i, k in enumerate(self._names)}
    return Scores(named.pop('reward'), jnp.asarray(valid), named)

  def _none(self, count: int) -> np.ndarray:
    return np.full((count, len(self._names)), np.nan, np.float32)

  def _judge(self, batch: list[Sample]) -> np.ndarray:
    """The numbers of a batch [B, 1 + M]; NaN for a sample without."""
    usable = np.array([bool(sample.viewed.usable()) for sample in batch])
    numbers = self._none(len(batch))
    if not usable.all():
      fault = self._view.fault
      self._report(f'{np.sum(~usable)} {fault}.', fault)
    whole = [s for s, is_usable in zip(batch, usable, strict=True) if is_usable]
    if whole:
      numbers[usable] = self._call(
        tuple(sample.record for sample in whole),
        self._view.batch([sample.viewed.content() for sample in whole]),
      )
    return numbers

  def _call(self, records: tuple[Any, ...], samples: Any) -> np.ndarray:
    """The numbers of the function; NaN for all samples where it fails."""
    try:
      numbers = number_rows(
        self._function(records, samples), len(records), self._names[1:]
      )
    except Exception as error:  # It is not our code; the failure is logged.
      kind = type(error).__name__
      self._report(f'It raised {kind}: {error}.', kind)
      return self._none(len(records))
    for name, column in zip(self._names, numbers.T, strict=True):
      broken = column[~np.isfinite(column)]
      if broken.size:
        what = 'a reward' if name == 'reward' else repr(name)
        self._report(
          f'It returned {broken[0]} as {what}.', f'{name} not finite'
        )
    return numbers

  def _report(self, reason: str, kind: str) -> None:
    self.last_failure = reason
    if kind not in self._logged:
      self._logged.add(kind)
      logging.warning(
        'Reward %r: %s Such samples are left out and counted; further '
        'failures of this kind are not logged.',
        self._name,
        reason,
      )
