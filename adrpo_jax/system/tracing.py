"""A trace of some steps of a run by JAX's profiler.

WORKDIR/profile holds it for XProf and TensorBoard, and as
perfetto_trace.json.gz for ui.perfetto.dev. Process 0 traces its own devices.
"""

from collections.abc import Iterator
import contextlib
from typing import Self

from etils import epath
import jax

from adrpo_jax.system.files import StagedFolder


class StepTrace:
  """Traces the steps of a range that a run comes to.

  >>> with StepTrace(workdir / 'profile', range(3, 6)) as trace:
  ...   for step in range(10):
  ...     with trace.step(step):
  ...       pass
  """

  def __init__(self, folder: epath.PathLike, steps: range) -> None:
    """Traces `steps` into a folder, which is made at the first of them."""
    self._folder, self._steps = folder, steps
    self._staged: StagedFolder | None = None

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self._stop()

  @contextlib.contextmanager
  def step(self, number: int) -> Iterator[None]:
    """Traces what is done within, if the step is one to be traced."""
    if number not in self._steps or jax.process_index() != 0:
      yield
      return
    if self._staged is None:
      self._staged = StagedFolder(self._folder)
      self._staged.folder.mkdir(parents=True, exist_ok=True)
      options = jax.profiler.ProfileOptions()
      options.python_tracer_level = 0  # Its calls fill most of a file.
      jax.profiler.start_trace(
        str(self._staged.folder),
        create_perfetto_trace=True,
        profiler_options=options,
      )
    with jax.profiler.StepTraceAnnotation('step', step_num=number):
      yield
    if number == self._steps[-1]:
      self._stop()

  def _stop(self) -> None:
    """Writes the trace, also that of a run which ends before its last step."""
    if self._staged is not None:
      jax.profiler.stop_trace()
      self._staged.upload()
      self._staged.close()
      self._staged = None
