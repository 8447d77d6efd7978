"""The table of families of models that a config may name."""

from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from adrpo_jax.build.checks import named
from adrpo_jax.build.generator import Generator
from adrpo_jax.build.sd3_generator import of_sd3, of_sd3_tiny, shapes_of_sd3
from adrpo_jax.build.world_generator import of_world

FAMILIES: dict[str, Callable[[ConfigDict, jax.sharding.Mesh], Generator]] = {
  'world': of_world,
  'sd3': of_sd3,
  'sd3_tiny': of_sd3_tiny,
}

# With shapes for weights.
SHAPES: dict[str, Callable[[ConfigDict, jax.sharding.Mesh], Generator]] = {
  'sd3': shapes_of_sd3,
}


def make_generator(config: ConfigDict, mesh: jax.sharding.Mesh) -> Generator:
  """The base that a config names, read from its folder.

  Raises:
    InputError: a folder or a setting that is not of its family.
  """
  return named(FAMILIES, config.model.family, 'family of models')(config, mesh)
