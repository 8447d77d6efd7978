"""Atomic writing of files, on local disks and in buckets."""

from collections.abc import Iterable, Iterator
import contextlib
import os
import pathlib
import tempfile
from typing import Self
import uuid

from etils import epath

from adrpo_jax.errors import InputError


def in_bucket(path: epath.PathLike) -> bool:
  """Returns True for a path such as gs://bucket/run, not on a local disk."""
  return '://' in os.fspath(path)


def below(folder: epath.Path) -> Iterator[epath.Path]:
  """Yields all files in a folder and its subfolders.

  Buckets have no recursive listing.
  """
  for entry in folder.iterdir():
    if entry.is_dir():
      yield from below(entry)
    else:
      yield entry


def visible_files(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
  """Returns the files among paths in order, without folders and hidden ones.

  macOS writes ._NAME beside NAME on disks of other systems.
  """
  return sorted(p for p in paths if p.is_file() and not p.name.startswith('.'))


@contextlib.contextmanager
def replacing(path: epath.PathLike) -> Iterator[epath.Path]:
  """Yields a temporary path that replaces `path` when the block ends.

  A reader finds the old file or the new one, never a part of it, also if the
  process is killed at any moment. If the block raises, the old file stays.

  >>> with replacing(workdir / 'summary.json') as new:
  ...   _ = new.write_text('{}')
  """
  path = epath.Path(path)
  # No number of a process: those of two hosts may be equal.
  new = path.parent / f'.{path.name}.new-{uuid.uuid4().hex[:12]}'
  try:
    yield new
    new.replace(path)
  except BaseException:
    new.unlink(missing_ok=True)
    raise


class StagedFolder:
  """A local folder for writers that cannot write to buckets.

  Nothing can be appended to an object in a bucket, and many libraries cannot
  write objects at all. `folder` is the target itself if that is on a local
  disk. Otherwise it is a temporary folder, and `upload` copies its files to the
  target.

  >>> with StagedFolder(workdir / 'export') as staged:
  ...   _ = (staged.folder / 'config.json').write_text('{}')
  """

  def __init__(self, target: epath.PathLike) -> None:
    """Makes the folder. Files of the target are not copied into it."""
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

  def upload(self) -> None:
    """Copies the files of the folder to the target, each one atomically."""
    if self.folder == self._target:
      return
    for file in below(self.folder):
      target = self._target / os.fspath(file.relative_to(self.folder))
      target.parent.mkdir(parents=True, exist_ok=True)
      file.copy(target, overwrite=True)  # An object appears when complete.

  def close(self, *, keep: bool = True) -> None:
    """Removes a temporary folder, after an upload if `keep` is set."""
    with self._stack:
      if keep:
        self.upload()


@contextlib.contextmanager
def on_disk(path: epath.PathLike) -> Iterator[epath.Path]:
  """Yields a local file for readers that cannot read from buckets.

  The file is `path` itself, or a copy of the object that exists until the block
  ends.

  Raises:
    InputError: the object does not exist. A missing local file is not checked.
  """
  path = epath.Path(path)
  if not in_bucket(path):
    yield path
    return
  if not path.exists():
    raise InputError(f'Expected a file at {path}, found none.')
  with tempfile.TemporaryDirectory(prefix='adrpo_jax_') as folder:
    yield path.copy(epath.Path(folder) / path.name)
