"""A digest of files, which reads only some blocks of large files."""

from collections.abc import Iterable
import hashlib
import pathlib
from typing import Any

import numpy as np

from adrpo_jax.system.files import visible_files

_BLOCKS, _BLOCK = 256, 1 << 16


def fingerprint(folders: Iterable[pathlib.Path], *settings: Any) -> str:
  """Returns a digest of the files in folders and of settings, 32 hex digits.

  Subfolders and hidden files are left aside.
  """
  digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
  for folder in folders:
    for file in visible_files(folder.glob('*')):
      digest.update(f'{folder.name}/{file.name} {file.stat().st_size}'.encode())
      for block in _blocks(file):
        digest.update(block)
  return digest.hexdigest()


def _blocks(file: pathlib.Path) -> Iterable[bytes]:
  """Yields a small file whole, and evenly spaced blocks of a large one."""
  size = file.stat().st_size
  with file.open('rb') as stream:
    if size <= _BLOCKS * _BLOCK:
      yield stream.read()
      return
    for start in np.linspace(0, size - _BLOCK, _BLOCKS).astype(int):
      stream.seek(int(start))
      yield stream.read(_BLOCK)
