"""What a run says that cannot go on now: what is kept, and how to go on."""

from collections.abc import Iterator
import contextlib
import errno
import logging
import os
import shlex
import sys

from etils import epath

_FULL = (errno.ENOSPC, errno.EDQUOT)
# As libraries say it that write files themselves.
_SAID = ('No space left on device', 'Disk quota exceeded')


def go_on(workdir: epath.PathLike | None = None) -> str:
  """Returns the sentence with the command that continues this one."""
  words = [sys.executable, '-m', 'adrpo_jax.main', *sys.argv[1:]]
  named = any(word.startswith(('--workdir', '-workdir')) for word in words)
  if workdir is not None and not named:
    words.append(f'--workdir={os.fspath(workdir)}')
  return f'To go on: {shlex.join(words)}'


def last_words(
  error: BaseException, workdir: epath.Path | None = None
) -> str | None:
  """Returns the line for an error of a full disk; None for any other error."""
  if not is_of_full_disk(error):
    return None
  return f'The disk is full. {_kept(workdir)} Free some space. {go_on(workdir)}'


def lost_process(
  process: int | None, workdir: epath.PathLike | None = None
) -> str:
  """Returns the line for the end of another process of this run."""
  which = 'Another process' if process is None else f'Process {process}'
  return (
    f'{which} of this run has ended or is out of reach, so this one ends too. '
    f'Checkpoints are kept. Start all processes again. {go_on(workdir)}'
  )


def is_of_full_disk(error: BaseException | None) -> bool:
  """Returns True if an error, or one that led to it, is of a full disk."""
  return any(
    getattr(link, 'errno', None) in _FULL
    or any(sentence in str(link) for sentence in _SAID)
    for link in _chain(error)
  )


@contextlib.contextmanager
def full_disk_said_once() -> Iterator[None]:
  """Drops what libraries log of a full disk, for the run says it itself.

  Orbax logs the error of each of its threads with a traceback.
  """

  def other(record: logging.LogRecord) -> bool:
    return not (record.exc_info and is_of_full_disk(record.exc_info[1]))

  logger = logging.getLogger('absl')
  logger.addFilter(other)
  try:
    yield
  finally:
    logger.removeFilter(other)


def _kept(workdir: epath.Path | None) -> str:
  """Says which checkpoint of a run is the newest."""
  if workdir is None:
    return 'Nothing was begun.'
  sealed = workdir.glob('checkpoints/*/manifest.json')
  steps = sorted(int(path.parent.name) for path in sealed)
  newest = f'checkpoint {steps[-1]}' if steps else 'no checkpoint yet'
  return f'What is complete in {workdir} is kept: {newest}.'


def _chain(error: BaseException | None) -> Iterator[BaseException]:
  """Yields an error and all that led to it."""
  while error is not None:
    yield error
    if isinstance(error, BaseExceptionGroup):
      for part in error.exceptions:
        yield from _chain(part)
    error = error.__cause__ or error.__context__
