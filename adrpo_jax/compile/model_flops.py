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

import jax
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders.abstract_stages import stages_of
from adrpo_jax.compile import flops


def model_flops(config: ConfigDict) -> dict[str, int]:
  """Returns stage -> the operations of one execution on all devices."""
  config = config.copy_and_resolve_references()
  config.compute.remat_policy = 'everything'
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices('cpu')[:1])
  return {
    name: flops.count(stage.function, *stage.arguments)
    for name, stage in stages_of(config, mesh).items()
  }
