"""Functional LoRA: adapters are a pytree of their own, laid beside the base.

  y = x·W + (alpha/r)·(x·A)·B,   A [in, r] of std 1/r,   B [r, out] = 0

The base is never written, so it is the reference, and to unmerge is to take it.
Stacked layers have stacked adapters. Hu et al., `LoRA
<https://arxiv.org/abs/2106.09685>`_, 2021.
"""

import re

from flax.traverse_util import flatten_dict, unflatten_dict
import jax
import jax.numpy as jnp

from adrpo_jax.errors import InputError
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import Array, PyTree

# The attention projections that the scripts of diffusers and Flow-GRPO adapt.
ATTENTION = r'(to_[qkv]|add_[qkv]_proj|to_out|to_add_out)/dense/kernel$'
# All dense layers of a decoder: PEFT's "all-linear".
DECODER = r'([qkvo]|gate|up|down)_proj/dense/kernel$'

_KERNEL = '/dense/kernel'


def init(base: PyTree, rank: int, key: Array, targets: str = ATTENTION):
  """Adapters for every kernel whose name matches: name -> {'a', 'b'}.

  Args:
    base: parameters; its kernels are [..., in, out].
    rank: r.
    key: for A.
    targets: pattern, searched in the names of the dense layers' kernels.

  Raises:
    InputError: no dense kernel matches, or a rank below 1.
  """
  kernels = {
    name: kernel
    for name, kernel in leaf_names(base).items()
    if name.endswith(_KERNEL) and re.search(targets, name)
  }
  if not kernels or rank < 1:
    raise InputError(
      f'Expected a LoRA rank of at least 1 and targets that match a kernel, '
      f'got rank {rank} and {len(kernels)} matches of {targets!r}.'
    )
  adapters = {}
  for i, (name, kernel) in enumerate(sorted(kernels.items())):
    *layers, inputs, outputs = kernel.shape
    noise = jax.random.normal(
      jax.random.fold_in(key, i), (*layers, inputs, rank)
    )
    adapters[name] = {
      'a': noise / rank,
      'b': jnp.zeros((*layers, rank, outputs)),
    }
  return adapters


def attach(base: PyTree, adapters: PyTree, scale: float) -> PyTree:
  """The base with A and scale·B beside each kernel, where `Linear` looks.

  Nothing of the size of a kernel is computed, neither here nor in a gradient.
  """
  flat = flatten_dict(base, sep='/')
  for name, adapter in adapters.items():
    layer = name.removesuffix(_KERNEL)
    flat[f'{layer}/lora_a'] = adapter['a']
    flat[f'{layer}/lora_b'] = scale * adapter['b']
  return unflatten_dict(flat, sep='/')


def merge(base: PyTree, adapters: PyTree, scale: float) -> PyTree:
  """The base with scale·A·B added where there is an adapter, in its dtype."""
  flat = flatten_dict(base, sep='/')
  for name, adapter in adapters.items():
    change = scale * adapter['a'] @ adapter['b']
    flat[name] = flat[name] + change.astype(flat[name].dtype)
  return unflatten_dict(flat, sep='/')
