"""Folders on disk, in a bucket, and on a Hub that answers with errors."""

import importlib
import pathlib
import typing

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import hub, opened_files

huggingface_hub = pytest.importorskip('huggingface_hub')
FILES = ('config.json', 'vae/config.json')  # that are opened


def test_a_folder_is_itself(tmp_path):
  assert hub.local_folder(str(tmp_path), FILES) == tmp_path


@pytest.mark.parametrize(
  'source', ['/no/such/folder', './nothing', 'nothing', 'ftp://host/folder']
)
def test_no_folder(source):
  with pytest.raises(InputError, match='Expected the folder of a model at'):
    hub.local_folder(source, FILES)


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
    folder = hub.local_folder(f'gs://models/{name}', FILES)
    assert (folder / 'config.json').read_text() == f'"{name}"'


def test_a_bucket_is_copied_once_without_pickles(bucket, tmp_path):
  source = bucket / 'sd3'
  (source / 'vae').mkdir(parents=True, exist_ok=True)
  (source / 'vae' / 'config.json').write_text('{}')
  (source / 'vae' / 'weights.bin').write_text('pickle')
  folder = hub.local_folder('gs://models/sd3', FILES)
  assert folder.is_relative_to(tmp_path)
  assert (folder / 'vae' / 'config.json').read_text() == '{}'
  assert not (folder / 'vae' / 'weights.bin').exists()
  before = (folder / 'vae' / 'config.json').stat().st_mtime_ns
  assert hub.local_folder('gs://models/sd3', FILES) == folder
  assert (folder / 'vae' / 'config.json').stat().st_mtime_ns == before
  with pytest.raises(InputError, match='Expected a folder at gs://models/none'):
    hub.local_folder('gs://models/none', FILES)


class Response:
  """The part of an HTTP response that the Hub's errors read."""

  headers: typing.ClassVar = {}
  request = None


# What repositories on the Hub hold, and what is opened of it.
REPOSITORIES = {
  'sd3': (
    opened_files.SD3,
    (
      'model_index.json',
      'scheduler/scheduler_config.json',
      'transformer/config.json',
      'transformer/diffusion_pytorch_model.safetensors.index.json',
      'transformer/diffusion_pytorch_model-00001-of-00002.safetensors',
      'vae/diffusion_pytorch_model.safetensors',
      'text_encoder/model.safetensors',
      'text_encoder_3/model-00002-of-00002.safetensors',
      'text_encoder_3/model.safetensors.index.json',
      'tokenizer/merges.txt',
      'tokenizer_3/spiece.model',
    ),
    (
      'sd3_medium_incl_clips_t5xxlfp16.safetensors',
      'text_encoders/t5xxl_fp8_e4m3fn.safetensors',
      'text_encoder/model.fp16.safetensors',
      'text_encoder_3/model.fp16-00001-of-00002.safetensors',
      'text_encoder_3/model.safetensors.index.fp16.json',
      'transformer/diffusion_pytorch_model.fp16.safetensors',
      'transformer/diffusion_pytorch_model.bin',
      'comfy_example_workflows/sd3_medium_example_workflow_basic.json',
      'LICENSE.txt',
    ),
  ),
  'sd3, configs alone': (
    opened_files.SD3_CONFIGS,
    ('model_index.json', 'vae/config.json'),
    ('vae/diffusion_pytorch_model.safetensors', 'tokenizer/vocab.json'),
  ),
  'clip': (
    opened_files.CLIP,
    ('config.json', 'model.safetensors', 'preprocessor_config.json'),
    (
      'open_clip_model.safetensors',
      'open_clip_config.json',
      'onnx/model.safetensors',
      'pytorch_model-00001-of-00002.bin',
    ),
  ),
  'decoder': (
    opened_files.DECODER,
    (
      'model-00004-of-00004.safetensors',
      'generation_config.json',
      'additional_chat_templates/tools.jinja',
    ),
    ('original/model.safetensors', 'consolidated.safetensors', 'onnx/a.json'),
  ),
}


@pytest.mark.parametrize('kind', REPOSITORIES)
def test_what_is_opened_is_fetched_and_nothing_else(kind, monkeypatch, bucket):
  files, opened, others = REPOSITORIES[kind]
  fetched = []

  def download(name, revision, allow_patterns):
    filtered = huggingface_hub.utils.filter_repo_objects(
      [*opened, *others], allow_patterns=allow_patterns
    )
    fetched.append((name, revision, sorted(filtered)))
    return '/cache/snapshot'

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', download)
  folder = hub.local_folder('o/sd-3.5@main', files)
  assert folder == pathlib.Path('/cache/snapshot')
  assert fetched == [('o/sd-3.5', 'main', sorted(opened))]
  source = bucket / f'of_{len(files)}'
  for name in (*opened, *others, '._config.json'):
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_text(name)
  copy = hub.local_folder(str(source), files)
  copied = [p for p in copy.rglob('*') if p.is_file()]
  assert sorted(str(p.relative_to(copy)) for p in copied) == sorted(opened)


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
    hub.local_folder('owner/name@v9', FILES)


def test_a_full_disk_is_told_with_the_way_out(monkeypatch):
  def refuse(*_, **__):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', refuse)
  with pytest.raises(InputError, match=r'No space left.*Set HF_HOME'):
    hub.local_folder('owner/name', FILES)
