"""SIGTERM, noticed by any process and acted on by all at the same step."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

import jax
from jax.experimental import multihost_utils


class Preemption:
  """Tells the loop when to save and leave, because the machine is wanted back.

  >>> with Preemption() as preemption:
  ...   for step in range(3):
  ...     if preemption.requested(step):
  ...       break

  One process: a handler for SIGTERM sets a flag. Several processes: JAX's
  preemption service, which `jax.distributed.initialize` starts, carries the
  notice to all and fixes a step that all have yet to reach.
  """

  def __init__(self) -> None:
    self._noticed = False
    self._previous: Any = None
    self._own_handler = jax.process_count() == 1

  def __enter__(self) -> Self:
    if self._own_handler:
      self._previous = signal.signal(signal.SIGTERM, self._notice)
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    if self._own_handler:
      # None: the handler before was not Python's, and cannot be put back.
      signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)

  def _notice(self, number: int, frame: FrameType | None) -> None:
    self._noticed = True

  def requested(self, step: int) -> bool:
    """Whether to save and leave now; to be asked by every process each step."""
    if self._own_handler:
      return self._noticed
    return multihost_utils.reached_preemption_sync_point(step)
