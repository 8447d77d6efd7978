"""The MMDiT: gradients, initial output, position table, size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models.condition import Condition
from adrpo_jax.models.sd3.mmdit import MMDiT, MMDiTConfig, position_table
from adrpo_jax.models.shapes import base
from adrpo_jax.pretrain.shapes import SMALL_BASE

CONFIG = MMDiTConfig(
  sample_size=8,
  in_channels=4,
  num_layers=2,
  num_attention_heads=2,
  attention_head_dim=16,
  joint_attention_dim=12,
  pooled_projection_dim=10,
  pos_embed_max_size=6,
)


def _inputs(batch=3, config=CONFIG):
  keys = jax.random.split(jax.random.key(0), 4)
  x = jax.random.normal(keys[0], (batch, 8, 8, config.in_channels))
  sigma = jax.random.uniform(keys[1], (batch,))
  states = jax.random.normal(keys[2], (batch, 5, config.joint_attention_dim))
  pooled = jax.random.normal(keys[3], (batch, config.pooled_projection_dim))
  return x, sigma, Condition(states, pooled)


@pytest.mark.slow
@pytest.mark.parametrize(
  'changes', [{}, {'qk_norm': True, 'dual_attention_layers': (0,)}]
)
def test_every_parameter_learns_but_the_dead_ones(changes):
  config = CONFIG.__class__(**(vars(CONFIG) | changes))
  inputs = _inputs(config=config)
  model = MMDiT(config)
  params = model.init(jax.random.key(1), *inputs)
  # Random weights: zero modulation and output would hide every gradient.
  leaves, tree = jax.tree.flatten(params)
  params = jax.tree.unflatten(
    tree,
    [
      leaf + 0.1 * jax.random.normal(jax.random.key(i), leaf.shape)
      for i, leaf in enumerate(leaves)
    ],
  )
  grads = jax.jit(jax.grad(lambda p: jnp.sum(model.apply(p, *inputs) ** 2)))(
    params
  )
  dead = [
    jax.tree_util.keystr(path)
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]
    if not np.any(leaf)
  ]
  last = f'blocks_{config.num_layers - 1}'
  assert dead
  assert all(last in name and 'add' in name for name in dead)


def test_a_new_model_predicts_zero_and_keeps_the_shape():
  inputs = _inputs()
  model = MMDiT(CONFIG)
  out = model.apply(model.init(jax.random.key(1), *inputs), *inputs)
  assert out.shape == inputs[0].shape
  np.testing.assert_array_equal(out, 0)


def test_the_position_table_is_a_center_crop():
  full, part = position_table(CONFIG, 6, 6), position_table(CONFIG, 2, 4)
  grid = full.reshape(6, 6, -1)
  np.testing.assert_array_equal(part.reshape(2, 4, -1), grid[2:4, 1:5])
  # Column 3 lies at 3·4/6 = 2; the first sine has rate 1.
  np.testing.assert_allclose(grid[0, 3, 0], np.sin(2.0), rtol=1e-6)
  with pytest.raises(ValueError, match='at most 6 patches'):
    position_table(CONFIG, 7, 2)


def test_the_small_base_fits_in_its_megabytes():
  shapes = jax.eval_shape(
    lambda: base.initialize(SMALL_BASE, jax.random.key(0))
  )
  size = sum(leaf.size * 4 for leaf in jax.tree.leaves(shapes))
  assert size < 16e6
