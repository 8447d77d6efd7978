"""The folder of a config's model: a base, a tiny one, or one of the user."""

from collections.abc import Callable, Mapping, Sequence
import pathlib

from ml_collections import ConfigDict

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.hub import local_folder
from adrpo_jax.system.cache_files import cache_folder, made_folder

Write = Callable[[pathlib.Path], pathlib.Path]


def base_folder(config: ConfigDict) -> pathlib.Path:
  """Returns the folder of a world's base: of the config, or of the package.

  Raises:
    InputError: the config names neither a world nor a base.
  """
  if not (config.world or config.model.path):
    raise InputError(
      'Expected config.world, whose base is taken, or a folder of a base in '
      f'config.model.path for the family {config.model.family!r}, got neither.'
    )
  package = pathlib.Path(__file__).parents[2]
  shipped = package / 'worlds' / f'{config.world}_base'
  return pathlib.Path(config.model.path or shipped)


def model_folder(
  config: ConfigDict,
  files: Sequence[str],
  *,
  world: str,
  tiny: Mapping[str, Write],
  models: str,
) -> pathlib.Path:
  """Returns the folder of a model in the layout of transformers.

  Args:
    config: of a run.
    files: patterns of what is fetched from the Hub.
    world: the family whose models are the bases of worlds.
    tiny: family -> writer of its random model, called if the folder is missing.
    models: the models that a user can give, for the error.

  Raises:
    InputError: the config names no folder, or one that cannot be had.
  """
  family = config.model.family
  if family == world:
    return base_folder(config)
  if family in tiny:
    return made_folder(cache_folder() / family, tiny[family])
  if not config.model.path:
    raise InputError(
      f'Expected --config.model.path, a folder of {models} in the layout of '
      'transformers, gs:// or an id on the Hub; got none.'
    )
  return local_folder(config.model.path, files)
