"""Weights that eight devices share are sent as often as the config says.

The program of a run is compiled, and its collectives are counted.
"""

import jax
import jax.numpy as jnp
import pytest
import small_run

from adrpo_jax.compile import hlo
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import Scores

PROMPTS, STEPS, LAYERS, PARTS = 16, 3, 2, 2


def made_run(gather, rank=0):
  """Layers are a loop, within that over the steps of the solver."""
  config = small_run.make_config(
    mesh__fsdp=8,
    model__path=str(small_run.base_folder(LAYERS + 1)),  # The last is apart.
    model__lora_rank=rank,
    prompts__prompts_per_step=PROMPTS,
    sampler__steps=STEPS,
    training__updates_per_rollout=1,
    compute__gather=gather,
    compute__microbatches=PARTS,
    compute__scan_layers=True,
    compute__remat_policy='nothing',
  )
  return small_run.build(config, 8)


def rollout_of(run):
  return run.abstract.params, run.frozen, run.prompts_at(0), jax.random.key(0)


def gathers(function, arguments):
  """Times that a gather runs -> the bytes that one device sends."""
  text = function.lower(*arguments).compile().as_text()
  sent = {}
  for c in hlo.collectives(text, 8):
    if c.kind == 'all-gather':
      sent[c.times] = sent.get(c.times, 0) + c.sent * c.times
  return sent


def shared_bytes(tree):
  """The bytes of what is split that seven other devices have."""
  return sum(
    leaf.size * leaf.dtype.itemsize * 7 / 8
    for leaf in leaf_names(tree).values()
    if not leaf.sharding.is_fully_replicated
  )


def test_a_rollout_gathers_its_weights_once():
  run = made_run('rollout')
  once = shared_bytes(run.frozen['reference'])
  assert gathers(run.rollout, rollout_of(run)) == {1: once}


def test_or_each_layer_in_each_step():
  run = made_run('layer')
  sent = gathers(run.rollout, rollout_of(run))
  blocks = run.frozen['reference']['params']['blocks_0']
  assert sent[STEPS * LAYERS] == STEPS * shared_bytes(blocks)


@pytest.mark.slow
@pytest.mark.parametrize('rank', [0, 2])
def test_an_update_gathers_its_weights_once(rank):
  run = made_run('update', rank)
  params, frozen, prompts, key = rollout_of(run)
  split = prompts.ids.sharding
  samples = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=split),
    jax.eval_shape(run.rollout, params, frozen, prompts, key),
  )
  scores = Scores(jnp.zeros((PROMPTS, 2)), jnp.ones((PROMPTS, 2), bool), {})
  arguments = run.abstract, frozen, samples, scores, prompts, key
  sent = gathers(run.update, arguments)
  once = shared_bytes(frozen['reference']) + shared_bytes(params)
  # Beside the weights, rows of noise and conditions, and adapters' activations.
  assert sent.pop(1) == pytest.approx(once, rel=0.1)
  assert sum(sent.values()) < 0.05 * once
