"""Finds the folder of a model: on this disk, in a bucket, or on the Hub.

/models/sd3                       used in place
gs://bucket/sd3                   copied once into the cache, file by file
stabilityai/stable-diffusion-3.5-medium[@REVISION]
                                  downloaded by huggingface_hub into its cache
"""

from collections.abc import Sequence
import fnmatch
import os
import pathlib
import re
import urllib.parse

from etils import epath

from adrpo_jax.errors import InputError
from adrpo_jax.system.cache_files import cache_folder
from adrpo_jax.system.files import below, replacing

_HUB_ID = re.compile(r'(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?')


def local_folder(source: str, files: Sequence[str]) -> pathlib.Path:
  """Returns a model's folder on this machine, after a download if needed.

  Args:
    source: of the model, see above.
    files: paths in the folder that are opened, see `opened_files`; no others
      are fetched.

  Raises:
    InputError: the folder or the repository does not exist, or cannot be
      reached or read. The message says what to do.
  """
  if source.startswith('gs://'):
    return _copy(epath.Path(source), files)
  path = pathlib.Path(source).expanduser()
  if path.is_dir():
    return path
  match = _HUB_ID.fullmatch(source)
  if match is None or source.startswith(('.', '/', '~')):
    raise InputError(
      f'Expected the folder of a model at {source}, found none. Give a folder, '
      'a gs:// path or the id of a repository on the Hub, owner/name.'
    )
  return _download(match['name'], match['revision'], files)


def lasting_name(source: str, folder: pathlib.Path) -> tuple[str, str | None]:
  """Returns (absolute folder or id on the Hub, revision) of a model.

  Other libraries find it by them, whatever folder they run in.

  Args:
    source: what the user named, '' for a model of this package.
    folder: where it is on this machine, see `local_folder`.
  """
  match = _HUB_ID.fullmatch(source)
  if match is None or pathlib.Path(source).expanduser() == folder:
    return os.path.abspath(folder), None
  return match['name'], match['revision']


def _copy(source: epath.Path, files: Sequence[str]) -> pathlib.Path:
  if not source.is_dir():
    raise InputError(
      f'Expected a folder at {source}, found none. Check the path and that '
      'this machine may read the bucket.'
    )
  # The name is quoted so that no two sources share a folder.
  name = urllib.parse.quote(os.fspath(source), safe='')
  target = cache_folder() / 'models' / name
  for file in below(source):
    path = os.fspath(file)[len(os.fspath(source)) :].lstrip('/')
    if not any(fnmatch.fnmatchcase(path, opened) for opened in files):
      continue
    copy = target / path
    if copy.is_file() and copy.stat().st_size == file.stat().length:
      continue
    copy.parent.mkdir(parents=True, exist_ok=True)
    with replacing(copy) as new:
      file.copy(new, overwrite=True)
  return target


def _download(
  name: str, revision: str | None, files: Sequence[str]
) -> pathlib.Path:
  try:
    import huggingface_hub
    from huggingface_hub import errors
  except ImportError as error:
    raise InputError(
      f'Expected a folder at {name}, found none, and huggingface_hub, which '
      'could fetch it, is not installed: pip install huggingface_hub.'
    ) from error
  try:
    folder = huggingface_hub.snapshot_download(
      name,
      revision=revision,
      allow_patterns=list(files),
    )
  except errors.GatedRepoError as error:
    raise InputError(
      f'The repository {name} is gated. Accept its license on '
      f'https://huggingface.co/{name}, and set HF_TOKEN to a token that may '
      'read it.'
    ) from error
  except errors.RepositoryNotFoundError as error:
    raise InputError(
      f'Expected a folder or a repository on the Hub called {name}, found '
      'neither. Check the name; a private one needs HF_TOKEN.'
    ) from error
  except errors.RevisionNotFoundError as error:
    raise InputError(
      f'The repository {name} has no revision {revision!r}.'
    ) from error
  except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
    raise InputError(
      f'There is no folder at {name}, and the Hub cannot be reached. Download '
      'the model where there is a network, and give its folder.'
    ) from error
  except (errors.HfHubHTTPError, errors.HFValidationError) as error:
    raise InputError(
      f'The Hub refused {name}: {error} Check the name and that HF_TOKEN is '
      'valid, or give a folder.'
    ) from error
  except OSError as error:
    raise InputError(
      f'The files of {name} could not be downloaded and stored: {error}. Set '
      'HF_HOME to a writable folder with free space. The same command then '
      'continues with the files that are missing.'
    ) from error
  return pathlib.Path(folder)
