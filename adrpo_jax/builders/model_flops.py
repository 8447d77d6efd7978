"""The operations that a model asks for, however its programs compute them.

A program does more. It computes activations again in the backward pass, a
kernel of attention pads positions to whole blocks and computes its scores
again, and both pass over what no model needs. Here the same stages are traced
for one CPU, where attention is plain products, and keep all activations:

  row of a DiT     2 · tokens · weights + 4 · L² · width · layers
  token of an LLM  2 · weights + 4 · L · heads · head size · layers

where a weight counts for the tokens that it multiplies, and L is the length
that attention sees. Causal attention counts its whole square, as PaLM's paper
does (arXiv 2204.02311, appendix B). Backward, a product costs once for each of
its factors that has a gradient: twice if the weights are trained, and twice in
attention.
"""

from collections.abc import Container

import jax
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders import flops
from adrpo_jax.builders.abstract_stages import stages_of
from adrpo_jax.builders.families import family_of
from adrpo_jax.builders.methods import make_method

STAGES = ('rollout', 'update')


def model_flops(
  config: ConfigDict, only: Container[str] | None = None
) -> dict[str, int]:
  """Returns stage -> the operations of one execution on all devices.

  `only` names the stages to count; None counts all.
  """
  config = config.copy_and_resolve_references()
  config.compute.remat_policy = 'everything'
  if 'max_num_seqs' in config.sampler:
    config.sampler.max_num_seqs = 0  # The same tokens, in one loop.
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices('cpu')[:1])
  return {
    name: flops.count(stage.function, *stage.arguments)
    for name, stage in stages_of(config, mesh).items()
    if only is None or name in only
  }


def step_flops(config: ConfigDict) -> dict[str, int]:
  """Returns stage -> the operations that a model asks for in one step.

  They are those of rollout and update. They are those of the update alone for a
  language model, whose rollout ends with the last completion, and for a method
  that learns from stored pairs. There are none where the
  shapes of the family are unknown without its weights, or where JAX was told
  to use no CPU, for which they are counted.
  """
  family = family_of(config)
  try:
    known = family.shapes is not None and bool(jax.devices('cpu'))
  except RuntimeError:
    known = False
  if not known:
    return {}
  paired = 'pairs' in make_method(config, family.methods).needs
  rolled = family.modality == 'flow' and not paired
  stages = STAGES if rolled else ('update',)
  counted = model_flops(config, stages)
  runs = {'rollout': config.compute.reward_chunks}
  return {name: runs.get(name, 1) * count for name, count in counted.items()}
