"""The runs of a comparison: processes that end when this one does."""

from collections.abc import Mapping, Sequence
import os
import signal
import subprocess
import sys
from types import MappingProxyType

from adrpo_jax.system.stop_signals import LIFELINE, STOPPED


class ChildRuns:
  """Runs one command line of `adrpo_jax.main` after the other.

  A run has a process group of its own: a terminal sends Ctrl-C to this process
  alone, which passes it on, so that the run saves and ends. A pipe tells the
  run of any other end of this process, also by SIGKILL. Then it ends at once,
  so that it is not in the way of the next command.
  """

  def __init__(self) -> None:
    self.stopped = False
    self._process: subprocess.Popen[bytes] | None = None

  def run(
    self,
    arguments: Sequence[str],
    *,
    module: str = 'adrpo_jax.main',
    variables: Mapping[str, str] = MappingProxyType({}),
  ) -> int:
    """Returns the exit status of a run, STOPPED if it was not begun.

    `variables` are added to the environment of the run.
    """
    if self.stopped:
      return STOPPED
    end, ours = os.pipe()
    try:
      self._process = subprocess.Popen(
        [sys.executable, '-m', module, *arguments],
        pass_fds=[end],
        env=os.environ | dict(variables) | {LIFELINE: str(end)},
        process_group=0,
      )
      if self.stopped:  # While it was being started.
        self._process.terminate()
      return self._process.wait()
    finally:
      os.close(end)
      os.close(ours)

  def stop(self, count: int) -> None:
    """Tells the run to stop, at the second call to end at once."""
    self.stopped = True
    if self._process is not None:
      self._process.send_signal(signal.SIGTERM if count < 3 else signal.SIGKILL)
