"""Folders on disk, in a bucket, and on a Hub that answers with errors."""

import importlib
import pathlib
import typing

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import hub

huggingface_hub = pytest.importorskip('huggingface_hub')


def test_a_folder_is_itself(tmp_path):
  assert hub.local_folder(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
  'source', ['/no/such/folder', './nothing', 'nothing', 'ftp://host/folder']
)
def test_no_folder(source):
  with pytest.raises(InputError, match='Expected the folder of a model at'):
    hub.local_folder(source)


@pytest.fixture
def bucket(monkeypatch, tmp_path):
  """A file system in memory stands in for the one behind gs://."""
  fsspec = pytest.importorskip('fsspec')
  registry = importlib.import_module('fsspec.registry')._registry
  memory = fsspec.get_filesystem_class('memory')
  for protocol in ('gs', 'gcs'):
    monkeypatch.setitem(registry, protocol, memory)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  from etils import epath

  return epath.Path('gs://models')


@pytest.mark.parametrize(
  ('one', 'other'), [('sd3.5', 'sd3_5'), ('sd3/v2', 'sd3-v2')]
)
def test_buckets_with_similar_names_do_not_mix(bucket, one, other):
  for name in (one, other):
    (bucket / name).mkdir(parents=True, exist_ok=True)
    (bucket / name / 'config.json').write_text(f'"{name}"')  # Of one size.
  for name in (one, other):
    folder = hub.local_folder(f'gs://models/{name}')
    assert (folder / 'config.json').read_text() == f'"{name}"'


def test_a_bucket_is_copied_once_without_pickles(bucket, tmp_path):
  source = bucket / 'sd3'
  (source / 'vae').mkdir(parents=True, exist_ok=True)
  (source / 'vae' / 'config.json').write_text('{}')
  (source / 'vae' / 'weights.bin').write_text('pickle')
  folder = hub.local_folder('gs://models/sd3')
  assert folder.is_relative_to(tmp_path)
  assert (folder / 'vae' / 'config.json').read_text() == '{}'
  assert not (folder / 'vae' / 'weights.bin').exists()
  before = (folder / 'vae' / 'config.json').stat().st_mtime_ns
  assert hub.local_folder('gs://models/sd3') == folder
  assert (folder / 'vae' / 'config.json').stat().st_mtime_ns == before
  with pytest.raises(InputError, match='Expected a folder at gs://models/none'):
    hub.local_folder('gs://models/none')


class Response:
  """The part of an HTTP response that the Hub's errors read."""

  headers: typing.ClassVar = {}
  request = None


def test_a_repository_is_downloaded_without_pickles(monkeypatch):
  requests = []

  def download(name, revision, allow_patterns):
    requests.append((name, revision))
    assert not any('bin' in pattern for pattern in allow_patterns)
    return '/cache/snapshot'

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', download)
  assert hub.local_folder('o/sd-3.5@main') == pathlib.Path('/cache/snapshot')
  assert requests == [('o/sd-3.5', 'main')]


@pytest.mark.parametrize(
  ('error', 'answered', 'message'),
  [
    ('GatedRepoError', True, 'Accept its license on .*owner/name.*HF_TOKEN'),
    ('RepositoryNotFoundError', True, 'found neither'),
    ('RevisionNotFoundError', True, "no revision 'v9'"),
    ('HfHubHTTPError', True, 'HF_TOKEN is valid'),
    ('HFValidationError', False, 'Check the name'),
    ('LocalEntryNotFoundError', False, 'the Hub cannot be reached'),
    ('OfflineModeIsEnabled', False, 'the Hub cannot be reached'),
  ],
)
def test_what_the_hub_says_becomes_a_way_out(
  monkeypatch, error, answered, message
):
  kind = getattr(huggingface_hub.errors, error)

  def refuse(*_, **__):
    raise kind('no', response=Response()) if answered else kind('no')

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', refuse)
  with pytest.raises(InputError, match=message):
    hub.local_folder('owner/name@v9')


def test_a_full_disk_is_told_with_the_way_out(monkeypatch):
  def refuse(*_, **__):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', refuse)
  with pytest.raises(InputError, match=r'No space left.*Set HF_HOME'):
    hub.local_folder('owner/name')
