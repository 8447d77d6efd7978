"""The base of an embedded world: small, with a text encoder of its own."""

import jax
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax import sharding
from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.base import Generator, Rows, make_compute
from adrpo_jax.builders.generators.flow import (
  FlowModel,
  make_decoder,
  make_flow_generator,
  null_condition,
)
from adrpo_jax.builders.generators.model_folder import base_folder
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.models.sd3.mmdit import MMDiT
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.models.shapes.text_encoder import TextEncoder
from adrpo_jax.sampling import noise_levels
from adrpo_jax.system.fingerprint import fingerprint
from adrpo_jax.types import ALL_ROWS, OwnRows, PyTree
from adrpo_jax.worlds import WORLDS


def make_world_generator(
  config: ConfigDict, mesh: jax.sharding.Mesh
) -> Generator:
  """The base of a world: small, with a text encoder of its own."""
  world = lookup(WORLDS, config.world, 'world')
  folder = base_folder(config)
  models = base_models.load(folder)
  weights = {
    name: sharding.put_tree(tree, sharding.tree_shardings(tree, mesh))
    for name, tree in models.params.items()
  }

  # Every process gets the conditions of all prompts.
  embed = jax.jit(
    TextEncoder(models.text_encoder).apply,
    out_shardings=sharding.replicated(mesh),
  )

  def encode(prompts: PromptSet) -> Rows:
    tokens = world.tokenize(prompts.texts)
    table = jax.device_get(embed(weights['text_encoder'], tokens))

    def rows(ids: np.ndarray, own: OwnRows = ALL_ROWS) -> PyTree:
      return jax.tree.map(lambda leaf: leaf[ids[own]], table)

    return rows

  size = models.mmdit.sample_size
  return make_flow_generator(
    config,
    mesh,
    FlowModel(
      velocity=MMDiT(models.mmdit, make_compute(config, mesh)).apply,
      decode=make_decoder(models.autoencoder, config),
      grid=noise_levels.shifted_sigmas,
      latent_shape=(size, size, models.mmdit.in_channels),
      config=models.mmdit,
      shift=1.0,
    ),
    encode=encode,
    frozen={
      'reference': weights['transformer'],
      'autoencoder': weights['autoencoder'],
      'null_condition': null_condition(encode),
    },
    identity=fingerprint([folder]),
  )
