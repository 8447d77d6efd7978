"""Functional LoRA: adapters are a pytree of their own, merged when applied.

  W' = W + (alpha/r)·A·B,   A [in, r] of std 1/r,   B [r, out] = 0

The base is never written, so it is the reference. Hu et al., `LoRA
<https://arxiv.org/abs/2106.09685>`_, 2021.
"""

import re

import jax
import jax.numpy as jnp

from adrpo_jax.errors import InputError
from adrpo_jax.naming import leaf_names
from adrpo_jax.types import Array, PyTree

# The attention projections that the scripts of diffusers and Flow-GRPO adapt.
ATTENTION = r'(to_[qkv]|add_[qkv]_proj|to_out|to_add_out)/dense/kernel$'


def init(base: PyTree, rank: int, key: Array, targets: str = ATTENTION):
  """Adapters for every kernel whose name matches: name -> {'a', 'b'}.

  Raises:
    InputError: no name matches, or a rank below 1.
  """
  kernels = {n: w for n, w in leaf_names(base).items() if re.search(targets, n)}
  if not kernels or rank < 1:
    raise InputError(
      f'Expected a LoRA rank of at least 1 and targets that match a kernel, '
      f'got rank {rank} and {len(kernels)} matches of {targets!r}.'
    )
  adapters = {}
  for i, (name, kernel) in enumerate(sorted(kernels.items())):
    inputs, outputs = kernel.shape
    noise = jax.random.normal(jax.random.fold_in(key, i), (inputs, rank))
    adapters[name] = {'a': noise / rank, 'b': jnp.zeros((rank, outputs))}
  return adapters


def merge(base: PyTree, adapters: PyTree, scale: float) -> PyTree:
  """The base with scale·A·B added where there is an adapter."""
  names = list(leaf_names(base))
  leaves, structure = jax.tree.flatten(base)
  merged = [
    leaf + scale * adapters[name]['a'] @ adapters[name]['b']
    if name in adapters
    else leaf
    for name, leaf in zip(names, leaves, strict=True)
  ]
  return jax.tree.unflatten(structure, merged)
