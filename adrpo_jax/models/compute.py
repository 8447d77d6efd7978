"""Precision, kernels, rematerialization and sharding of a model.

These settings change a result by rounding only. They are therefore separate
from the model's config, and no file of a model stores them.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import flax.linen as nn
import jax
from jax.custom_derivatives import SymbolicZero
import jax.numpy as jnp

from adrpo_jax.models.attention import Attention, xla


def _identity(rows: Any) -> Any:
  return rows


@dataclasses.dataclass(frozen=True)
class Compute:
  """How a model is computed.

  Attributes:
    dtype: the dtype of activations; norms, softmax and sinusoids are float32.
    attention: a function of the module `attention`.
    scan_layers: True compiles the layers as a loop, whose compile time and
      memory do not grow with the depth. False unrolls them, which is faster on
      a CPU.
    remat_policy: a policy of `jax.checkpoint_policies` that says what a layer
      saves for the backward pass. None saves everything, and nothing is
      computed twice.
    constrain: shards activations [B, ...] by row over the devices of the mesh.
      Without it the compiler may shard the features instead, like those of the
      parameters, and then every norm is a sum over all devices.
  """

  dtype: Any = jnp.float32
  attention: Attention = xla
  scan_layers: bool = False
  remat_policy: Callable[..., bool] | None = None
  constrain: Callable[[Any], Any] = _identity


def stack(block: type[nn.Module], count: int, compute: Compute) -> Any:
  """Returns a module class of `count` layers with stacked parameters.

  `block` is called as (carry, *constants) -> (carry, None). Each parameter has
  a leading axis that counts the layers, and so have the adapters attached to
  it.
  """
  if compute.remat_policy is not None:
    block = nn.remat(block, policy=compute.remat_policy, prevent_cse=False)
  return nn.scan(
    block,
    variable_axes={'params': 0},
    split_rngs={'params': True},
    in_axes=nn.broadcast,
    length=count,
    unroll=1 if compute.scan_layers else count,
  )


def gradient_barrier(module: nn.Module, carry: Any, *constants: Any) -> Any:
  """Calls module(carry, *constants) and groups the gradients it produces.

  In the backward pass, the gradient of the carry becomes available together
  with the gradients of the trained parameters. Without this barrier a compiler
  may postpone the matrix products of the parameters' gradients until the end
  and keep their operands in memory: for SD3-medium on two slices of v5e, 0.7
  GiB of the last layer.
  """
  if module.is_initializing():
    return module(carry, *constants)
  module, variables = module.unbind()
  carry, params = _barrier((carry, variables['params']))
  return module.apply(variables | {'params': params}, carry, *constants)


@jax.custom_jvp
def _barrier(tree: Any) -> Any:
  """Returns the tree; its cotangents become available all at once."""
  return tree


def _barrier_jvp(primals: tuple[Any], tangents: tuple[Any]) -> Any:
  """The derivative of `_barrier`: frozen leaves stay without a gradient."""
  leaves, structure = jax.tree.flatten(*tangents)
  trained = [i for i, x in enumerate(leaves) if not isinstance(x, SymbolicZero)]
  outputs = jax.lax.optimization_barrier([leaves[i] for i in trained])
  for i, leaf in zip(trained, outputs, strict=True):
    leaves[i] = leaf
  return *primals, jax.tree.unflatten(structure, leaves)


_barrier.defjvp(_barrier_jvp, symbolic_zeros=True)
