"""The folder of a run: a name that no other run has, and a lock on it."""

from collections.abc import Iterator
import contextlib
import errno
import itertools
import json
import os
import socket
import sys
import time
from typing import Any

from etils import epath
import jax
from jax.experimental import multihost_utils
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import in_bucket

LOCK = '.lock'
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def new_folder(folder: epath.Path) -> Iterator[epath.Path]:
  """Makes a folder of this name, or NAME_2, NAME_3, … if that exists.

  Two processes that ask at the same moment get different ones. A folder that is
  empty in the end is removed.

  Raises:
    InputError: it cannot be made.
  """
  made = _made(folder)
  try:
    yield made
  finally:
    _remove_if_empty(made)


def _made(folder: epath.Path) -> epath.Path:
  """Makes the first of NAME, NAME_2, NAME_3, … that does not exist."""
  make_folder(folder.parent)
  for number in itertools.count(1):
    made = folder if number == 1 else folder.parent / f'{folder.name}_{number}'
    try:
      os.mkdir(made)
    except FileExistsError:
      continue
    except OSError as error:
      raise _not_writable(folder, error) from error
    return made
  raise AssertionError('The numbers have no end.')


def make_folder(folder: epath.Path) -> None:
  """Makes a folder. Raises InputError if it cannot be made or written to."""
  probe = folder / f'.writable-{os.getpid()}'
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe.write_text('Can this folder be written to?')
    probe.unlink(missing_ok=True)
  except OSError as error:
    raise _not_writable(folder, error) from error


@contextlib.contextmanager
def locked(folder: epath.Path) -> Iterator[None]:
  """Makes a folder and keeps other runs out of it until the block ends.

  Process 0 holds the lock for all processes of a run. The system releases it
  when that process ends in any way, so no lock outlives its run. A bucket has
  no locks: there the block changes nothing.

  Raises:
    InputError: another run uses the folder, or it cannot be written to.
  """
  if in_bucket(folder):
    yield
    return
  new = not folder.exists()
  descriptor, problem = None, None
  if jax.process_index() == 0:
    make_folder(folder)
    descriptor, problem = _locked_file(folder / LOCK)
  if multihost_utils.broadcast_one_to_all(np.int32(problem is not None)):
    raise InputError(
      f'Expected a workdir that no other run uses, got {folder}: '
      f'{problem or "process 0 says who"}. Wait for its end, stop it, or take '
      'another --workdir.'
    )
  try:
    yield
  finally:
    if descriptor is not None:
      (folder / LOCK).unlink(missing_ok=True)
      os.close(descriptor)
    if new:
      _remove_if_empty(folder)


def _locked_file(path: epath.Path) -> tuple[int | None, str | None]:
  """Locks a file. -> its descriptor or None, and who has it or None."""
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      _lock(descriptor)
    except BlockingIOError:
      owner = _owner(os.read(descriptor, 4096))
      os.close(descriptor)
      return None, owner
    except OSError as error:
      os.close(descriptor)
      if error.errno not in _NO_LOCKS:
        raise
      print(
        f'WARNING: {path.parent} is on a file system without locks '
        f'({error.strerror}). Start no second run in it.',
        file=sys.stderr,
      )
      return None, None
    if _is_at(descriptor, path):
      break
    os.close(descriptor)  # Its owner has just removed it.
  record = {
    'process': os.getpid(),
    'host': socket.gethostname(),
    'since': time.strftime('%Y-%m-%d %H:%M:%S'),
  }
  os.truncate(descriptor, 0)
  os.write(descriptor, json.dumps(record).encode())
  return descriptor, None


def _lock(descriptor: int) -> None:
  """Locks an open file. Raises BlockingIOError if another has it."""
  try:
    import fcntl
  except ImportError as error:
    raise OSError(errno.ENOSYS, 'Python has no fcntl here') from error
  fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(descriptor: int, path: epath.Path) -> bool:
  """Returns True if an open file is still the one at a path."""
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def _owner(content: bytes) -> str:
  """Says who holds a lock; its file is empty for a moment at the beginning."""
  try:
    record: dict[str, Any] = json.loads(content)
    return (
      f'process {record["process"]} on {record["host"]} uses it since '
      f'{record["since"]}'
    )
  except (ValueError, LookupError, TypeError):
    return 'another process uses it'


def _remove_if_empty(folder: epath.Path) -> None:
  with contextlib.suppress(OSError):
    os.rmdir(folder)


def _not_writable(folder: epath.Path, error: OSError) -> InputError:
  return InputError(
    f'Expected a workdir that can be written to, got {folder}: '
    f'{error.strerror or error}. Take another --workdir.'
  )
