"""Preemption by SIGTERM: all processes stop at the same step."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

import jax
from jax.experimental import multihost_utils


class Preemption:
  """Shows the loop when to save and stop, because the machine is preempted.

  >>> with Preemption() as preemption:
  ...   for step in range(3):
  ...     if preemption.requested(step):
  ...       break

  With one process, a handler for SIGTERM sets a flag. With several processes,
  JAX's preemption service, which `jax.distributed.initialize` starts, sends the
  notice to all and chooses a step that no process has reached yet.
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
      # None: the previous handler was not set from Python, so it is lost.
      signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)

  def _notice(self, number: int, frame: FrameType | None) -> None:
    self._noticed = True

  def requested(self, step: int) -> bool:
    """Returns True to save and stop now. Every process calls it every step."""
    if self._own_handler:
      return self._noticed
    return multihost_utils.reached_preemption_sync_point(step)
