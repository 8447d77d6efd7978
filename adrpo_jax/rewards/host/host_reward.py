"""Rewards that are any Python: called in batches on a pool of threads.

What goes wrong in them is contained. A batch that raises, or comes back in
another shape, or numbers that are not finite, make those samples invalid; they
are counted, each kind of failure is logged once, and a run that loses more of
them than a limit stops.
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
from adrpo_jax.rewards.host.numbers import gathered, numbers_of
from adrpo_jax.rewards.host.transfer import Place, Sample, View, held_samples
from adrpo_jax.rewards.protocol import check_invalid_share
from adrpo_jax.types import PromptBatch, PyTree, Scores

# (what is told of B prompts, B samples) -> [B] numbers, or name -> [B].
HostFunction = Callable[[Sequence[Any], Any], Any]


class _Begun(NamedTuple):
  """Samples [P, G] of which batches are on their way to the function."""

  shape: tuple[int, ...]
  batches: list[tuple[list[Sample], concurrent.futures.Future[np.ndarray]]]

  def rows(self) -> Iterator[tuple[Place, np.ndarray]]:
    """Place -> its numbers; waits for the threads."""
    for samples, judged in self.batches:
      for sample, numbers in zip(samples, judged.result(), strict=True):
        yield sample.place, numbers


class HostReward:
  """A reward of the protocol, computed by a Python function on the host.

  It has the stages of `overlap`. `begin` queues batches and waits for nothing
  that the device makes: the threads wait for the samples, `finish` for the
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
    told: Sequence[Any],
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
      function: (told of B prompts, B samples) -> [B] numbers, or name -> [B]
        where there are measures: 'reward' and each of them. Images come as one
        array [B, H, W, 3] uint8, answers as a tuple of texts. Called from
        several threads at once; workers=1 keeps it to one.
      told: of all prompts, what the function is told of each: its text, or any
        record. Those of a call are `told[i]` for its ids.
      name: for messages.
      batch_size: the most samples in a call of the function.
      workers: threads.
      invalid_limit: the largest share of invalid samples in a step.
      view: how the function sees samples: `image_view.IMAGES`, or a
        `text_view.text_view`.
      measures: names of the further numbers that it returns. They are known
        before, so that every step and every process has the same.
    """
    if batch_size < 1 or workers < 1 or not 0 <= invalid_limit <= 1:
      raise InputError(
        f'Expected batch_size ≥ 1, workers ≥ 1 and invalid_limit in [0, 1] of '
        f'reward {name!r}, got {batch_size}, {workers} and {invalid_limit}.'
      )
    self.judged, self.invalid, self.reason = 0, 0, ''
    self._function, self._told, self._name = function, tuple(told), name
    self._batch_size, self._limit = batch_size, invalid_limit
    self._view, self._names = view, ('reward', *measures)
    self._pool = concurrent.futures.ThreadPoolExecutor(
      workers, f'reward-{name}'
    )
    self._shown: set[str] = set()

  def __call__(self, prompts: PromptBatch, seen: PyTree) -> Scores:
    """prompts.ids [P], samples as the view takes them -> Scores [P, G].

    Raises:
      RewardError: more invalid samples than the limit allows.
    """
    return self.finish([self.begin(prompts, seen)])

  def begin(self, prompts: PromptBatch, seen: PyTree) -> _Begun:
    """Queues batches of the samples whose content and id this process holds."""
    samples = held_samples(self._view, self._told, prompts, seen, self._name)
    batches = [
      samples[i : i + self._batch_size]
      for i in range(0, len(samples), self._batch_size)
    ]
    return _Begun(
      jax.tree.leaves(seen)[0].shape[:2],
      [(batch, self._pool.submit(self._judge, batch)) for batch in batches],
    )

  def finish(self, begun: Sequence[_Begun]) -> Scores:
    """Waits for all that was begun; the limit holds for all of it together.

    A sample of which a number is not finite is invalid; its numbers are 0.

    Raises:
      RewardError: more invalid samples than the limit allows.
    """
    try:
      numbers = gathered(
        [(part.shape, part.rows()) for part in begun], self._none(1)[0]
      )
    finally:
      for part in begun:
        for _, judged in part.batches:
          judged.cancel()  # Those that wait still, where one has failed.
    valid = np.isfinite(numbers).all(-1)
    self.judged += valid.size
    self.invalid += int((~valid).sum())
    check_invalid_share(
      float((~valid).mean()),
      limit=self._limit,
      name=f'The reward {self._name!r}',
      reason=self.reason,
    )
    kept = np.where(valid[..., None], numbers, 0)
    named = {k: jnp.asarray(kept[..., i]) for i, k in enumerate(self._names)}
    return Scores(named.pop('reward'), jnp.asarray(valid), named)

  def _none(self, count: int) -> np.ndarray:
    return np.full((count, len(self._names)), np.nan, np.float32)

  def _judge(self, batch: list[Sample]) -> np.ndarray:
    """The numbers of each sample [B, 1 + M], NaN where there are none."""
    usable = np.array([bool(sample.viewed.usable()) for sample in batch])
    numbers = self._none(len(batch))
    if not usable.all():
      fault = self._view.fault
      self._report(f'{np.sum(~usable)} {fault}.', fault)
    whole = [s for s, is_usable in zip(batch, usable, strict=True) if is_usable]
    if whole:
      numbers[usable] = self._asked(
        tuple(sample.told for sample in whole),
        self._view.batch([sample.viewed.content() for sample in whole]),
      )
    return numbers

  def _asked(self, told: tuple[Any, ...], samples: Any) -> np.ndarray:
    """What the function says; NaN of all where it fails."""
    try:
      numbers = numbers_of(
        self._function(told, samples), len(told), self._names[1:]
      )
    except Exception as error:  # Any: it is not our code, and is reported.
      kind = type(error).__name__
      self._report(f'It raised {kind}: {error}.', kind)
      return self._none(len(told))
    for name, column in zip(self._names, numbers.T, strict=True):
      broken = column[~np.isfinite(column)]
      if broken.size:
        what = 'a reward' if name == 'reward' else repr(name)
        self._report(
          f'It returned {broken[0]} as {what}.', f'{name} not finite'
        )
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
