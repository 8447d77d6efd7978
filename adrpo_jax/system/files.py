"""Files that are there whole or not at all, on this disk and in buckets."""

from collections.abc import Iterator
import contextlib
import os
import tempfile
from typing import Self

from etils import epath

from adrpo_jax.errors import InputError


def in_bucket(path: epath.PathLike) -> bool:
  """Whether a path such as gs://bucket/run leads off this machine's disks."""
  return '://' in os.fspath(path)


def below(folder: epath.Path) -> Iterator[epath.Path]:
  """All files in a folder and its folders; buckets do not list recursively."""
  for entry in folder.iterdir():
    if entry.is_dir():
      yield from below(entry)
    else:
      yield entry


@contextlib.contextmanager
def replacing(path: epath.PathLike) -> Iterator[epath.Path]:
  """Gives a path to write to, which takes the place of `path` at the end.

  A reader, and a run that is killed at any moment, finds the old file or the
  new one, never a part. If the block raises, the old file stays.

  >>> with replacing(workdir / 'summary.json') as new:
  ...   _ = new.write_text('{}')
  """
  path = epath.Path(path)
  new = path.parent / f'.{path.name}.new-{os.getpid()}'
  try:
    yield new
    new.replace(path)
  except BaseException:
    new.unlink(missing_ok=True)
    raise


class Staged:
  """A folder for writers that know only this machine's disks.

  An object in a bucket has no end to append to, and many libraries cannot write
  one at all. `folder` is the target itself where that is on this disk;
  otherwise a temporary folder, whose files `settle` copies over the target's.

  >>> with Staged(workdir / 'export') as staged:
  ...   _ = (staged.folder / 'config.json').write_text('{}')
  """

  def __init__(self, target: epath.PathLike) -> None:
    """Makes the folder; what the target holds is not copied into it."""
    self._target = epath.Path(target)
    self._stack = contextlib.ExitStack()
    self.folder = self._target
    if in_bucket(target):
      temporary = tempfile.TemporaryDirectory(prefix='adrpo_jax_')
      self.folder = epath.Path(self._stack.enter_context(temporary))
    self.folder.mkdir(parents=True, exist_ok=True)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
    self.close(keep=kind is None)

  def settle(self) -> None:
    """Brings the target up to the folder, each file as a whole."""
    if self.folder == self._target:
      return
    for file in below(self.folder):
      target = self._target / os.fspath(file.relative_to(self.folder))
      target.parent.mkdir(parents=True, exist_ok=True)
      file.copy(target, overwrite=True)  # An object appears once it is whole.

  def close(self, *, keep: bool = True) -> None:
    """Removes a temporary folder, settled first if it is to be kept."""
    with self._stack:
      if keep:
        self.settle()


@contextlib.contextmanager
def on_disk(path: epath.PathLike) -> Iterator[epath.Path]:
  """A file for readers that know only this machine's disks.

  It is itself, or a copy of an object for as long as the block lasts.

  Raises:
    InputError: no such object; of a file on disk the reader complains.
  """
  path = epath.Path(path)
  if not in_bucket(path):
    yield path
    return
  if not path.exists():
    raise InputError(f'Expected a file at {path}, found none.')
  with tempfile.TemporaryDirectory(prefix='adrpo_jax_') as folder:
    yield path.copy(epath.Path(folder) / path.name)
