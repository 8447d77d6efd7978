"""A folder that holds the output of one command, whole, and nothing else."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil
import tempfile
import uuid

from etils import epath
import jax

from adrpo_jax.errors import InputError
from adrpo_jax.system import manifest
from adrpo_jax.system.files import below, in_bucket


@contextlib.contextmanager
def output_folder(target: epath.PathLike) -> Iterator[pathlib.Path]:
  """Yields an empty folder that takes the place of `target` at the block's end.

  A reader finds all of the old output or all of the new one. A manifest in the
  folder says what belongs to it. On a local disk the folder is exchanged as a
  whole; in a bucket the old objects go first, and the manifest comes last.
  Process 0 alone writes: what others put into their folders is thrown away.

  >>> with output_folder(workdir / 'drawn') as new:
  ...   _ = (new / 'answers.jsonl').write_text('')

  Raises:
    InputError: `target` holds files that this function did not write; they are
      left where they are.
  """
  target = epath.Path(target)
  check_own(target)
  with _staging(target) as new:
    yield new
    if jax.process_index() != 0:
      return
    manifest.seal(new)
    check_own(target)
    if in_bucket(target):
      _upload(new, target)
    else:
      _exchange(new, pathlib.Path(target))


def check_own(target: epath.PathLike) -> None:
  """Checks that a folder holds nothing but what `output_folder` wrote.

  Raises:
    InputError: it holds other files too, or files that were changed.
  """
  target = epath.Path(target)
  if not target.exists():
    return
  if not target.is_dir():
    raise InputError(f'Expected a folder at {target}, found a file. Remove it.')
  entries = manifest.entries_of(target) or {}
  known = {target / name for name in (*entries, manifest.NAME)}
  others = sorted(
    os.fspath(file.relative_to(target))
    for file in below(target)
    if file not in known
  )
  if others:
    raise InputError(
      f'Expected {target} to hold the output of one command, found '
      f'{len(others)} files of another origin: {", ".join(others[:3])}'
      f'{", ..." * (len(others) > 3)}. Move or remove them, or take another '
      '--workdir.'
    )


@contextlib.contextmanager
def _staging(target: epath.Path) -> Iterator[pathlib.Path]:
  """Yields a new folder: beside the target, so that it can be renamed."""
  if in_bucket(target) or jax.process_index() != 0:
    with tempfile.TemporaryDirectory(prefix='adrpo_jax_') as folder:
      yield pathlib.Path(folder)
    return
  new = _beside(pathlib.Path(target), 'new')
  new.mkdir(parents=True)
  try:
    yield new
  finally:
    shutil.rmtree(new, ignore_errors=True)


def _exchange(new: pathlib.Path, target: pathlib.Path) -> None:
  old = _beside(target, 'old')
  if target.exists():
    target.rename(old)
  new.rename(target)
  shutil.rmtree(old, ignore_errors=True)


def _beside(target: pathlib.Path, what: str) -> pathlib.Path:
  return target.with_name(f'.{target.name}.{what}-{uuid.uuid4().hex[:12]}')


def _upload(new: pathlib.Path, target: epath.Path) -> None:
  (target / manifest.NAME).unlink(missing_ok=True)
  if target.exists():
    for file in list(below(target)):
      file.unlink()
  files = sorted(below(epath.Path(new)), key=lambda f: f.name == manifest.NAME)
  for file in files:
    copy = target / os.fspath(file.relative_to(epath.Path(new)))
    copy.parent.mkdir(parents=True, exist_ok=True)
    file.copy(copy, overwrite=True)
