"""Decoder and CLIP towers as programs, from shapes."""

from collections.abc import Callable
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
from adrpo_jax.types import Array, PyTree


def judging_stages(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  decode: Callable[[PyTree, PyTree], Array],
  frozen: PyTree,
  samples: PyTree,
) -> dict[str, tuple[Any, tuple[PyTree, ...]]]:
  """Returns the programs that judge samples, as (jitted function, shapes).

  decoding  (frozen, samples) -> images, or what else a reward sees
  reward    (images, weights of towers, embeddings of texts) -> cosines with a
            text for each tower; left out where no reward has a tower

  Rewards on the host have no program; one tower is embedded with once for all
  rewards that share it.
  """
  decoding = jax.jit(decode), (frozen, samples)
  rows = [
    image_table.REWARDS.get(parameters.get('row', term))
    for term, parameters in reward_parameters(config).items()
  ]
  sizes = dict.fromkeys(row.tower for row in rows if row and row.tower)
  if not sizes:
    return {'decoding': decoding}
  towers = [ClipVision(size, Compute(scan_layers=True)) for size in sizes]
  whole, split = sharding.replicated(mesh), sharding.batch_sharding(mesh)

  def placed(shapes: PyTree, where: jax.sharding.NamedSharding) -> PyTree:
    return sharding.abstract(shapes, jax.tree.map(lambda _: where, shapes))

  weights = [placed(_shapes(tower), whole) for tower in towers]
  images = placed(jax.eval_shape(decode, frozen, samples), split)
  count = images.shape[0]
  texts = [
    jax.ShapeDtypeStruct(
      (count, size.projection_dim), jnp.float32, sharding=split
    )
    for size in sizes
  ]

  def judge(
    images: Array, weights: list[PyTree], texts: list[Array]
  ) -> list[Array]:
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

  return {
    'decoding': decoding,
    'reward': (jax.jit(judge), (images, weights, texts)),
  }


def _shapes(tower: ClipVision) -> PyTree:
  edge = tower.config.image_size
  image = jnp.zeros((1, edge, edge, 3))
  return jax.eval_shape(tower.init, jax.random.key(0), image)
