"""The reward of a step in a compile report: which CLIP towers it counts."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders.abstract_reward import judging_stages


def test_a_tower_is_counted_once_for_each_size_whatever_a_term_is_called():
  config = ConfigDict(
    {
      'weights': {'clip_score': 1.0, 'shapes': 1.0, 'hps_v2': 0.0},
      'monitor_only': ('taste', 'far'),
      'taste': {'row': 'pick_score', 'path': ''},
      'far': {'row': 'remote', 'url': ''},
    }
  )
  samples = jax.ShapeDtypeStruct((2, 3, 32, 32, 3), jnp.float32)
  mesh = sharding.make_mesh(1, devices=jax.devices()[:1])
  stages = judging_stages(config, mesh, lambda _, images: images, {}, samples)
  judge, arguments = stages['reward']
  assert [text.shape for text in arguments[-1]] == [(2, 768), (2, 1024)]
  cosines = jax.eval_shape(judge, *arguments)
  assert [cosine.shape for cosine in cosines] == [(2, 3), (2, 3)]


def test_rewards_of_the_host_have_no_program():
  config = ConfigDict(
    {'weights': {'far': 1.0}, 'monitor_only': (), 'far': {'row': 'remote'}}
  )
  samples = jax.ShapeDtypeStruct((2, 3, 4), jnp.float32)
  mesh = sharding.make_mesh(1, devices=jax.devices()[:1])
  stages = judging_stages(config, mesh, lambda _, x: x, {}, samples)
  assert list(stages) == ['decoding']
