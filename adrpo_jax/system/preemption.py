"""Preemption by SIGTERM or SIGINT: all processes stop at the same step."""

import contextlib
import os
import signal
import sys
from types import TracebackType
from typing import Self

import jax
from jax.experimental import multihost_utils

from adrpo_jax.system.stop_signals import (
  SIGNALS,
  end_at_once,
  listening,
  stop_signals,
)


class Stopped(Exception):
  """What a step was about to begin is left out, because the run is to stop."""


class Preemption:
  """Shows the loop when to save and stop, because the machine is preempted.

  >>> with Preemption() as preemption:
  ...   for step in range(3):
  ...     if preemption.requested(step):
  ...       break
  ...     preemption.save_from_now_on()

  With one process, a signal sets a flag. With several processes, JAX's
  preemption service, which `jax.distributed.initialize` starts, sends the
  notice to all and chooses a step that no process has reached yet. It takes
  SIGTERM alone, so SIGINT is passed on as one.

  Until `save_from_now_on` is called nothing can be lost, so the signals stay
  with the block of `stop_signals` around it, if there is one.
  """

  def __init__(self) -> None:
    self._noticed = False
    self._alone = jax.process_count() == 1
    self._stack = contextlib.ExitStack()
    self._saving = False

  def __enter__(self) -> Self:
    if not listening():
      self.save_from_now_on()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._stack.close()

  def save_from_now_on(self) -> None:
    """From the first call on, a signal makes the loop save and stop."""
    if not self._saving:
      signals = SIGNALS if self._alone else (signal.SIGINT,)
      self._stack.enter_context(stop_signals(self._react, signals))
      self._saving = True

  def requested(self, step: int) -> bool:
    """Returns True to save and stop now. Every process calls it every step."""
    if self._alone:
      return self._noticed
    return multihost_utils.reached_preemption_sync_point(step)

  def check(self) -> None:
    """Raises Stopped if one process is to stop; several must agree first."""
    if self._noticed:
      raise Stopped

  def _react(self, count: int) -> None:
    if count > 1:
      end_at_once('Ended at once. The last checkpoint is kept.')
    print(
      '\nStopping: it finishes the step and saves. A second signal ends it at '
      'once.',
      file=sys.stderr,
      flush=True,
    )
    if self._alone:
      self._noticed = True
    else:
      os.kill(os.getpid(), signal.SIGTERM)
