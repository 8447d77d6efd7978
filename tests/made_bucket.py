"""A folder that stands in for gs://, as orbax and everything else see it.

It is stricter than a folder: as in a bucket, nothing can be appended to.
"""

import importlib
import os

import pytest


def stand_in(root, monkeypatch):
  """From now on gs://bucket/name is ROOT/bucket/name. -> gs://bucket"""
  pytest.importorskip('fsspec')
  from etils import epath
  from etils.epath.backend import fsspec_backend
  from fsspec.implementations.local import LocalFileSystem
  from orbax.checkpoint._src.path import gcs_utils
  from orbax.checkpoint._src.serialization import tensorstore_utils

  def on_disk(path):
    path = os.fspath(path)
    return path.replace('gs://', f'{root}/', 1).rstrip('/')

  class Bucket(LocalFileSystem):
    protocol = ('gs', 'gcs')
    cachable = False  # One of an earlier test has another root.

    def __init__(self, **_):
      super().__init__(auto_mkdir=True)

    @classmethod
    def _strip_protocol(cls, path):
      return super()._strip_protocol(on_disk(path))

    def glob(self, path, **options):
      found = super().glob(path, **options)
      return [name.removeprefix(f'{root}/') for name in found]

    def _open(self, path, mode='rb', **options):
      if 'a' in mode:
        raise NotImplementedError('An object in a bucket has no end.')
      return super()._open(path, mode, **options)

  known = importlib.import_module('fsspec.registry')._registry
  for protocol in Bucket.protocol:
    monkeypatch.setitem(known, protocol, Bucket)
  fsspec_backend._get_filesystem.cache_clear()
  # Arrays do not go through fsspec: tensorstore has a client of its own.
  monkeypatch.setattr(tensorstore_utils, '_normalize_path', on_disk)
  monkeypatch.setattr(
    gcs_utils, 'is_hierarchical_namespace_enabled', lambda path: False
  )
  return epath.Path('gs://bucket')
