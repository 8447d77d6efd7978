"""Where config files lie: the user's own, and those that come with the package.

In a checkout the package's own are in `configs/`, at the top; an installed
package has a copy of that folder in `adrpo_jax/presets/`.
"""

import os
import pathlib
import re
import runpy
import sys

from ml_collections import ConfigDict

from adrpo_jax.errors import InputError

PACKAGE = pathlib.Path(__file__).parents[1]


def shipped() -> pathlib.Path:
  """The folder of the package's own config files."""
  installed = PACKAGE / 'presets' / 'configs'
  return installed if installed.is_dir() else PACKAGE.parent / 'configs'


def make_importable() -> None:
  """Lets `from configs import t2i` find the package's own, from any folder.

  The path of imports gets them last, so that a folder `configs` of the user
  comes first, and both can be imported from.
  """
  folder = str(shipped().parent)
  if folder not in sys.path:
    sys.path.append(folder)


def resolved(argument: str) -> str:
  """The value of --config, FILE[:preset], with the path of a file that exists.

  A path is read from the current folder. `t2i.py` and `configs/t2i.py` that are
  not there are the package's own.

  Raises:
    InputError: no such file in either place.
  """
  path, colon, preset = argument.partition(':')
  own = pathlib.Path(path).expanduser()
  if own.is_file():
    return f'{own}{colon}{preset}'
  own = shipped() / re.sub('^configs/', '', path)
  if not own.is_file():
    names = ', '.join(sorted(file.name for file in shipped().glob('*.py')))
    raise InputError(
      f'Expected a config file, got {path!r}: there is none in {os.getcwd()}, '
      f'and the package has {names}.'
    )
  return f'{own}{colon}{preset}'


def load(argument: str) -> ConfigDict:
  """Returns the config of FILE[:preset], of a file that exists.

  Raises:
    InputError: the file has no get_config that returns a ConfigDict, or it
      raises.
  """
  path, _, preset = argument.partition(':')
  try:
    config = runpy.run_path(path)['get_config'](*([preset] if preset else []))
    config.lock()  # It raises for a placeholder, which has no value.
  except InputError:
    raise
  except Exception as error:  # Any: it may be the user's file.
    raise InputError(
      'Expected a config file with a function get_config that returns a '
      f'ConfigDict, got {argument}, which raises {type(error).__name__}: '
      f'{error}'
    ) from error
  return config
