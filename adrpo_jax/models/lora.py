"""Functional LoRA: adapters are a pytree of their own beside the base.

  y = x·W + (alpha/r)·(x·A)·B,   A [in, r] of std 1/r,   B [r, out] = 0

The base is never changed. It is therefore the reference model as well, and
using the base is how one removes an adapter. Stacked layers have stacked
adapters. Hu et al., `LoRA <https://arxiv.org/abs/2106.09685>`_, 2021.
"""

import re

from flax.traverse_util import flatten_dict, unflatten_dict
import jax
import jax.numpy as jnp

from adrpo_jax.errors import InputError
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import Array, PyTree

# The attention projections, as in the scripts of diffusers and Flow-GRPO.
ATTENTION = r'(to_[qkv]|add_[qkv]_proj|to_out|to_add_out)/dense/kernel$'
# All dense layers of a decoder, PEFT's "all-linear".
DECODER = r'([qkvo]|gate|up|down)_proj/dense/kernel$'

_KERNEL = '/dense/kernel'


def init(base: PyTree, rank: int, key: Array, targets: str = ATTENTION):
  """Initializes adapters for matching kernels: name -> {'a', 'b'}.

  Args:
    base: parameters; its kernels are [..., in, out].
    rank: r.
    key: the random key of A.
    targets: a pattern that is searched in the names of dense kernels.

  Raises:
    InputError: no dense kernel matches, or the rank is below 1.
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
  """Adds A and scale·B beside each kernel, where `Linear` finds them.

  Nothing of the size of a kernel is computed, neither here nor in a gradient.
  """
  flat = flatten_dict(base, sep='/')
  for name, adapter in adapters.items():
    layer = name.removesuffix(_KERNEL)
    flat[f'{layer}/lora_a'] = adapter['a']
    flat[f'{layer}/lora_b'] = scale * adapter['b']
  return unflatten_dict(flat, sep='/')
