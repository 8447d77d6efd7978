"""The reward of a step as a program: decoder and CLIP towers, from shapes."""

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders.parts import reward_parameters
from adrpo_jax.models.clip.towers import ClipVision
from adrpo_jax.models.compute import Compute
from adrpo_jax.rewards import image_table
from adrpo_jax.rewards.clip.preprocess import clip_pixels
from adrpo_jax.rewards.clip.towers import PRECISION
from adrpo_jax.types import Array, Modality, PyTree


def reward_stage(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  modality: Modality,
  frozen: PyTree,
  samples: PyTree,
) -> tuple[Any, tuple[PyTree, ...]]:
  """(jitted function, shapes): samples -> cosines with a text for each tower.

  Rewards on the host have no program; one tower is embedded with once for all
  rewards that share it.
  """
  rows = [
    image_table.REWARDS.get(parameters.get('row', term))
    for term, parameters in reward_parameters(config).items()
  ]
  sizes = dict.fromkeys(row.tower for row in rows if row and row.tower)
  towers = [ClipVision(size, Compute(scan_layers=True)) for size in sizes]
  whole = sharding.replicated(mesh)
  weights = [
    jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
      _shapes(tower),
    )
    for tower in towers
  ]
  count = jax.tree.leaves(samples)[0].shape[0]
  texts = [
    jax.ShapeDtypeStruct(
      (count, size.projection_dim),
      jnp.float32,
      sharding=sharding.batch_sharding(mesh),
    )
    for size in sizes
  ]

  def judge(
    frozen: PyTree, samples: PyTree, weights: list[PyTree], texts: list[Array]
  ) -> list[Array]:
    images = modality.decode(frozen, samples)
    if not towers:
      return [images]
    flat = images.reshape(-1, *images.shape[2:])
    cosines = []
    for tower, params, rows in zip(towers, weights, texts, strict=True):
      with jax.default_matmul_precision(PRECISION):
        pixels = clip_pixels(flat, tower.config.image_size)
        embeddings = tower.apply(params, pixels).reshape(*images.shape[:2], -1)
      embeddings = embeddings / jnp.linalg.norm(
        embeddings, axis=-1, keepdims=True
      )
      cosines.append((embeddings * rows[:, None]).sum(-1))
    return cosines

  return jax.jit(judge), (frozen, samples, weights, texts)


def _shapes(tower: ClipVision) -> PyTree:
  edge = tower.config.image_size
  image = jnp.zeros((1, edge, edge, 3))
  return jax.eval_shape(tower.init, jax.random.key(0), image)
