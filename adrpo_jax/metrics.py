"""Numbers of a run: metrics.jsonl, its mirror, and a progress line.

metrics.jsonl, a line of JSON for each step, is the record of truth; TensorBoard
is a mirror of it.
"""

from collections.abc import Callable, Iterator, Mapping
import math
import shutil
import sys
import time
from typing import IO, Any, Self, TextIO

from etils import epath
import jax

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import StagedFolder
from adrpo_jax.system.records import line_of, plain


class MetricsLog:
  """Appends whole lines to a .jsonl file, on process 0 only.

  >>> with MetricsLog(workdir / 'metrics.jsonl') as log:
  ...   log.write(0, {'reward': 0.5})

  On disk a line is there at once. In a bucket, whose objects cannot grow, the
  file is written anew by `settle`, `close`, and every `interval` seconds.

  Call `records.cut_back(path, step)` first where a run is resumed at `step`;
  write the lines of all steps before s, and settle, before the checkpoint of
  step s.
  """

  def __init__(
    self,
    path: epath.PathLike,
    *,
    tensorboard: epath.PathLike | None = None,
    start: int = 0,
    interval: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Opens the file; `tensorboard` is a folder for the mirror, if wanted.

    `start`: the first step to be written. TensorBoard hides what the mirror
    holds from there on.
    """
    self._file: IO[Any] | None = None
    self._mirror: Any = None
    self._staged: list[StagedFolder] = []
    self._interval, self._clock = interval, clock
    self._settled_at = clock()
    if jax.process_index() != 0:
      return
    path = epath.Path(path)
    written = self._stage(path.parent) / path.name
    if written != path and path.exists():
      path.copy(written)
    self._file = written.open('a', encoding='utf-8')
    if tensorboard is not None:
      folder = self._stage(epath.Path(tensorboard))
      self._mirror = _summary_writer(str(folder), start)

  def _stage(self, target: epath.Path) -> epath.Path:
    self._staged.append(StagedFolder(target))
    return self._staged[-1].folder

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def write(self, step: int, metrics: Mapping[str, Any]) -> None:
    """Adds the line {"step": step, ...}; what is not finite becomes null."""
    if self._file is None:
      return
    record = {'step': int(step)} | plain(dict(metrics))
    self._file.write(line_of(record))
    self._file.flush()
    if self._mirror is not None:
      for name, value in _scalars(record):
        if name != 'step':
          self._mirror.add_scalar(name, value, step)
      self._mirror.flush()
    if self._clock() - self._settled_at >= self._interval:
      self.settle()

  def settle(self) -> None:
    """Brings all lines so far to where they stay, also in a bucket."""
    for staged in self._staged:
      staged.upload()
    self._settled_at = self._clock()

  def close(self) -> None:
    """Closes the file and its mirror."""
    if self._file is not None:
      self._file.close()
    if self._mirror is not None:
      self._mirror.close()
    for staged in self._staged:
      staged.close()


class Progress:
  """The progress that process 0 shows on stderr.

  A bar on a terminal, redrawn at each update; elsewhere a line at the first and
  the last step and every `interval` seconds between.
  """

  def __init__(
    self,
    steps: int,
    *,
    start: int = 0,
    interval: float = 10.0,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    self._steps = steps
    self._start = start
    self._interval = interval
    self._stream = stream if stream is not None else sys.stderr
    self._clock = clock
    self._began = clock()
    self._shown_at = -math.inf
    self._width = 0

  def update(self, done: int, shown: Mapping[str, Any]) -> None:
    """Shows that `done` steps are done, with some numbers by name."""
    if jax.process_index() != 0:
      return
    now = self._clock()
    terminal = self._stream.isatty()
    due = now - self._shown_at >= self._interval or done >= self._steps
    if not (terminal or due):
      return
    self._shown_at = now
    text = self._text(done, shown, now, bar=terminal)
    if terminal:
      text = text[: shutil.get_terminal_size().columns - 1]
      self._stream.write('\r' + text.ljust(self._width))
      self._width = len(text)
    else:
      self._stream.write(text + '\n')
    self._stream.flush()

  def close(self) -> None:
    """Ends the line of the bar, so that what follows starts on its own."""
    if self._width:
      self._stream.write('\n')
      self._stream.flush()
      self._width = 0

  def _text(
    self, done: int, shown: Mapping[str, Any], now: float, *, bar: bool
  ) -> str:
    left = ''
    if done > self._start:
      rate = (now - self._began) / (done - self._start)
      left = f'{_clock_time(rate * (self._steps - done))} left'
    filled = 20 * done // max(self._steps, 1)
    parts = [
      f'{"█" * filled}{"░" * (20 - filled)}' if bar else '',
      f'step {done}/{self._steps}',
      *(f'{name} {_short(value)}' for name, value in shown.items()),
      left,
    ]
    return '  '.join(part for part in parts if part)


def _clock_time(seconds: float) -> str:
  """75 -> '1:15', 3675 -> '1:01:15'."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minutes:02}:{seconds:02}'
  return f'{minutes}:{seconds:02}'


def _short(value: Any) -> str:
  return value if isinstance(value, str) else f'{float(value):.3g}'


def _scalars(record: Mapping[str, Any], under: str = '') -> Iterator[Any]:
  """(name, number) of a record, nested names joined by '/'."""
  for name, value in record.items():
    if isinstance(value, Mapping):
      yield from _scalars(value, f'{under}{name}/')
    elif isinstance(value, int | float):
      yield f'{under}{name}', value


def _summary_writer(folder: str, start: int) -> Any:
  """Imported here: a run without the mirror does not need the package."""
  try:
    import tensorboardX
  except ImportError as error:
    raise InputError(
      'Expected tensorboardX for the TensorBoard mirror, but it is not '
      'installed. Run `pip install tensorboardX`, or leave the mirror out.'
    ) from error
  # With a purge step TensorBoard drops what an earlier writer, killed after its
  # last checkpoint, had written from there on. Files are named by the
  # second: without the suffix a quick restart would write over the one before.
  return tensorboardX.SummaryWriter(
    folder, purge_step=start, filename_suffix=f'.from_{start}'
  )
