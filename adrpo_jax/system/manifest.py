"""The manifest of a folder: size and SHA-256 of every file in it.

  manifest.json   {"files": {name: [size, digest]}, ...}

It is written last and as a whole, so a folder without one is unfinished, and a
folder that differs from its manifest was damaged later. A digest of '' is not
compared: where reading all files would take too long, sizes can come first.
"""

from collections.abc import Callable, Mapping
import concurrent.futures
import hashlib
import json
from typing import Any

from etils import epath

from adrpo_jax.system.files import below, replacing

NAME = 'manifest.json'
_THREADS = 4


def seal(
  folder: epath.PathLike,
  *,
  later: Mapping[str, bytes] | None = None,
  digest: Callable[[epath.Path], str] | None = None,
  **about: Any,
) -> None:
  """Writes the manifest of a folder atomically.

  Args:
    folder: its files are all there, but for those in `later`.
    later: name -> content of files that the caller writes next.
    digest: of a file; SHA-256 by default, `no_digest` reads no file.
    **about: further entries of the manifest.
  """
  folder = epath.Path(folder)
  files = sorted(file for file in below(folder) if file != folder / NAME)
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
    digests = list(threads.map(digest or _sha256, files))
  entries: dict[str, Any] = {
    str(file.relative_to(folder)): [file.stat().length, digest_of_file]
    for file, digest_of_file in zip(files, digests, strict=True)
  }
  for name, content in (later or {}).items():
    entries[name] = [len(content), hashlib.sha256(content).hexdigest()]
  with replacing(folder / NAME) as new:
    new.write_text(json.dumps(about | {'files': entries}))


def entries_of(folder: epath.PathLike) -> dict[str, tuple[int, str]] | None:
  """Reads name -> (size, digest) of the manifest; None if it cannot be read."""
  try:
    stored = json.loads((epath.Path(folder) / NAME).read_text())
    return {str(name): (e[0], e[1]) for name, e in stored['files'].items()}
  except (
    *(ValueError, LookupError, TypeError, AttributeError, OSError),
    RecursionError,
  ):
    return None


def damage(folder: epath.PathLike) -> str | None:
  """Describes how a folder differs from its manifest; None if it does not."""
  folder = epath.Path(folder)
  files = entries_of(folder)
  if files is None:
    there = (folder / NAME).exists()
    return f'{NAME} cannot be read' if there else f'no {NAME}'
  for name, (size, _) in files.items():
    if not (folder / name).is_file():
      return f'{name} is missing'
    actual = (folder / name).stat().length
    if actual != size:
      return f'{name} has {actual} bytes instead of {size}'
  expected = {name: digest for name, (_, digest) in files.items() if digest}
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
    digests = threads.map(_sha256, [folder / name for name in expected])
    for (name, digest), actual in zip(expected.items(), digests, strict=True):
      if actual != digest:
        return f'{name} has changed: its SHA-256 differs from the manifest'
  return None


def no_digest(file: epath.Path) -> str:
  """Returns '', so that `damage` compares the size of the file alone."""
  del file
  return ''


def _sha256(file: epath.Path) -> str:
  with file.open('rb') as stream:
    return hashlib.file_digest(stream, 'sha256').hexdigest()
