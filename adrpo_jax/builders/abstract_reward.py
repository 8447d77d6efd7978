"""The reward of a step as a program: decoder and CLIP towers, from shapes."""

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders.parts import reward_parameters
from adrpo_jax.models.clip.towers import ClipVision, ClipVisionConfig
from adrpo_jax.models.compute import Compute
from adrpo_jax.rewards.clip.preprocess import clip_pixels
from adrpo_jax.rewards.clip.towers import PRECISION
from adrpo_jax.types import Array, Modality, PyTree

L14 = ClipVisionConfig()
H14 = ClipVisionConfig(
  hidden_size=1280,
  intermediate_size=5120,
  projection_dim=1024,
  num_hidden_layers=32,
  hidden_act='gelu',
)
# The tower that each reward on the device is published with.
TOWERS = {'clip_score': L14, 'aesthetic': L14, 'pick_score': H14, 'hps_v2': H14}


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
  names = reward_parameters(config)
  sizes = dict.fromkeys(TOWERS[name] for name in names if name in TOWERS)
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
        seen = tower.apply(params, pixels).reshape(*images.shape[:2], -1)
      seen = seen / jnp.linalg.norm(seen, axis=-1, keepdims=True)
      cosines.append((seen * rows[:, None]).sum(-1))
    return cosines

  return jax.jit(judge), (frozen, samples, weights, texts)


def _shapes(tower: ClipVision) -> PyTree:
  edge = tower.config.image_size
  image = jnp.zeros((1, edge, edge, 3))
  return jax.eval_shape(tower.init, jax.random.key(0), image)
