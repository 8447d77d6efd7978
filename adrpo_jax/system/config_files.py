"""Where config files lie: the user's own, and those that come with the package.

In a checkout the package's own are in `configs/`, at the top; an installed
package has a copy of that folder in `adrpo_jax/presets/`.
"""

import os
import pathlib
import re
import sys

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
  if pathlib.Path(path).is_file():
    return argument
  own = shipped() / re.sub('^configs/', '', path)
  if not own.is_file():
    names = ', '.join(sorted(file.name for file in shipped().glob('*.py')))
    raise InputError(
      f'Expected a config file, got {path!r}: there is none in {os.getcwd()}, '
      f'and the package has {names}.'
    )
  return f'{own}{colon}{preset}'
