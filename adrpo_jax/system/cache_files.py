"""Files that can be made again: where they lie, and how damage is noticed.

A cached file begins with a checksum of its name and its content. One that is
missing, cut short, changed or renamed is made again, and damage is warned of. A
cache that cannot be written warns too, and never ends a run.
"""

from collections.abc import Callable, Sequence
import concurrent.futures
import functools
import hashlib
import os
import pathlib
import shutil
import tempfile
import uuid
import warnings

from adrpo_jax.errors import InputError
from adrpo_jax.system import manifest
from adrpo_jax.system.files import replacing

_CHECKSUM_BYTES = 32
_THREADS = 8


def cache_folder() -> pathlib.Path:
  """Returns the folder for files of this package that can be made again.

  It is $XDG_CACHE_HOME/adrpo_jax, or ~/.cache/adrpo_jax. Where that cannot be
  written, or there is no home, it is in the folder for temporary files, and a
  warning says so.
  """
  return _writable(os.environ.get('XDG_CACHE_HOME') or '~/.cache')


@functools.cache
def _writable(root: str) -> pathlib.Path:
  try:
    folder = pathlib.Path(root).expanduser() / 'adrpo_jax'
    _probe(folder)
  except (OSError, RuntimeError) as error:  # RuntimeError: there is no home.
    temporary = _temporary()
    warnings.warn(
      f'The cache in {root} cannot be written ({_reason(error)}); {temporary} '
      'takes its place. Set XDG_CACHE_HOME to a folder that can be written.',
      stacklevel=3,
    )
    return temporary
  return folder


def _probe(folder: pathlib.Path) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryFile(dir=folder) as file:
    file.write(b'Can this folder be written?')


def _temporary() -> pathlib.Path:
  """Returns a folder of this user alone, the same one for the next run."""
  try:
    user = os.getuid() if hasattr(os, 'getuid') else 0
    folder = pathlib.Path(tempfile.gettempdir()) / f'adrpo_jax_{user}'
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != user:
      folder = pathlib.Path(tempfile.mkdtemp(prefix='adrpo_jax_'))
    _probe(folder)
  except OSError as error:
    raise InputError(
      f'Expected a folder for temporary files that can be written, got none '
      f'({error}). Set TMPDIR or XDG_CACHE_HOME to one.'
    ) from error
  return folder


def write(path: pathlib.Path, content: bytes) -> bool:
  """Writes a cached file atomically.

  Returns False, after a warning, where it cannot be written.
  """
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
      new.write_bytes(_checksum(path, content) + content)
  except OSError as error:
    warnings.warn(
      f'Nothing can be kept in the cache {path.parent} ({_reason(error)}); '
      'the next run makes it again.',
      stacklevel=2,
    )
    return False
  return True


def read(path: pathlib.Path) -> bytes | None:
  """Reads a cached file; None, after a warning if it is damaged, without."""
  content = _content(path)
  if content is None:
    _warn_of_damaged([path])
  return content


def are_whole(paths: Sequence[pathlib.Path]) -> list[bool]:
  """Says for each file if `read` would return it, and warns once of damage."""
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
    whole = list(threads.map(lambda p: _content(p) is not None, paths))
  _warn_of_damaged([p for p, w in zip(paths, whole, strict=True) if not w])
  return whole


def made_folder(
  folder: pathlib.Path, make: Callable[[pathlib.Path], object]
) -> pathlib.Path:
  """Returns a folder that `make` has filled, in this run or in an earlier one.

  A manifest tells if it is whole. Otherwise it is made anew beside its place,
  and then put there as a whole.
  """
  if manifest.damage(folder) is None:
    return folder
  if (folder / manifest.NAME).exists():
    _warn_of_damaged([folder])
  new = folder.with_name(f'.{folder.name}.new-{uuid.uuid4().hex[:12]}')
  try:
    make(new)
    manifest.seal(new)
    if manifest.damage(folder) is not None:
      shutil.rmtree(folder, ignore_errors=True)
      _move(new, folder)
  finally:
    shutil.rmtree(new, ignore_errors=True)
  return folder


def _move(source: pathlib.Path, target: pathlib.Path) -> None:
  """Renames a folder, unless another process has put a whole one there."""
  try:
    source.rename(target)
  except OSError:
    if manifest.damage(target) is not None:
      raise


def _content(path: pathlib.Path) -> bytes | None:
  try:
    data = path.read_bytes()
  except OSError:
    return None
  content = data[_CHECKSUM_BYTES:]
  return content if data == _checksum(path, content) + content else None


def _checksum(path: pathlib.Path, content: bytes) -> bytes:
  digest = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
  digest.update(path.name.encode())
  digest.update(b'\0')
  digest.update(content)
  return digest.digest()


def _warn_of_damaged(paths: Sequence[pathlib.Path]) -> None:
  """Warns of those that exist, in one line for all."""
  damaged = [path for path in paths if path.exists()]
  if damaged:
    warnings.warn(
      f'{len(damaged)} of the cached files in {damaged[0].parent} are damaged, '
      f'{damaged[0].name} among them; they are made again.',
      stacklevel=3,
    )


def _reason(error: Exception) -> str:
  return getattr(error, 'strerror', None) or str(error)
