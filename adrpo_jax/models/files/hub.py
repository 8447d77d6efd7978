"""Where a model's folder lies: on this disk, in a bucket, or on the Hub.

/models/sd3                       as it is
gs://bucket/sd3                   copied once into the cache, file by file
stabilityai/stable-diffusion-3.5-medium[@REVISION]
                                  through huggingface_hub, with its cache
"""

import os
import pathlib
import re
import urllib.parse

from etils import epath

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import below, replacing

# Weights, configs, tokenizers, chat templates. Pickles are not even downloaded.
PATTERNS = ('*.json', '*.safetensors', '*.txt', '*.model', '*.jinja')

_HUB_ID = re.compile(r'(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?')


def local_folder(source: str) -> pathlib.Path:
  """The folder of a model on this machine, fetched if it is elsewhere.

  Raises:
    InputError: no such folder or repository, no access, no network; with the
      way out.
  """
  if source.startswith('gs://'):
    return _copied(epath.Path(source))
  path = pathlib.Path(source).expanduser()
  if path.is_dir():
    return path
  match = _HUB_ID.fullmatch(source)
  if match is None or source.startswith(('.', '/', '~')):
    raise InputError(
      f'Expected the folder of a model at {source}, found none. Give a folder, '
      'a gs:// path or the id of a repository on the Hub, owner/name.'
    )
  return _downloaded(match['name'], match['revision'])


def cache_folder() -> pathlib.Path:
  """Where this package keeps what can be had again."""
  root = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return pathlib.Path(root).expanduser() / 'adrpo_jax'


def _copied(source: epath.Path) -> pathlib.Path:
  if not source.is_dir():
    raise InputError(
      f'Expected a folder at {source}, found none. Check the path, and that '
      'this machine may read the bucket.'
    )
  # Quoted, so that no two sources share a folder.
  name = urllib.parse.quote(os.fspath(source), safe='')
  target = cache_folder() / 'models' / name
  for file in filter(_is_wanted, below(source)):
    copy = target / os.fspath(file)[len(os.fspath(source)) :].lstrip('/')
    if copy.is_file() and copy.stat().st_size == file.stat().length:
      continue
    copy.parent.mkdir(parents=True, exist_ok=True)
    with replacing(copy) as new:
      file.copy(new, overwrite=True)
  return target


def _is_wanted(file: epath.Path) -> bool:
  return any(pathlib.PurePath(file.name).match(p) for p in PATTERNS)


def _downloaded(name: str, revision: str | None) -> pathlib.Path:
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
      allow_patterns=[f'**/{p}' for p in PATTERNS] + list(PATTERNS),
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
      f'The Hub did not give {name}: {error} Check the name, and that HF_TOKEN '
      'is valid; or give a folder.'
    ) from error
  except OSError as error:
    raise InputError(
      f'What the Hub has of {name} could not be fetched and stored: {error}. '
      'Set HF_HOME to a folder with space that can be written to; the same '
      'command again goes on with what is missing.'
    ) from error
  return pathlib.Path(folder)
