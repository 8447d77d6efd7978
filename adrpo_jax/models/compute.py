"""How a model is computed, as opposed to what it is.

None of it changes a result beyond rounding, so none of it is in a model's
config or in its file.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import flax.linen as nn
import jax
from jax.custom_derivatives import SymbolicZero
import jax.numpy as jnp

from adrpo_jax.models.attention import Attention, xla


def _as_it_is(rows: Any) -> Any:
  return rows


@dataclasses.dataclass(frozen=True)
class Compute:
  """Precision, kernels, and the layout of the loop over layers.

  Attributes:
    dtype: of activations; norms, softmax and sinusoids are float32.
    attention: see there.
    unroll: layers as one straight program, faster on a CPU; otherwise a loop,
      whose compile time and memory do not grow with the depth.
    checkpoint: a policy of `jax.checkpoint_policies` for what a layer keeps
      for the backward pass; None keeps all, and nothing is computed twice.
    constrain: puts activations [B, ...] onto the mesh, rows split over its
      devices. Without it the compiler may split features instead, as the
      parameters are, and add up every norm over all devices.
  """

  dtype: Any = jnp.float32
  attention: Attention = xla
  scan_layers: bool = False
  remat_policy: Callable[..., bool] | None = None
  constrain: Callable[[Any], Any] = _as_it_is


def stack(block: type[nn.Module], count: int, compute: Compute) -> Any:
  """A module class of `count` layers in a row, their parameters stacked.

  `block` is called as (carry, *constants) -> (carry, None). Each parameter
  gets a leading axis of layers, and so do adapters put beside it.
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
  """module(carry, *constants); backwards it is done before the rest goes on.

  The gradient of the carry leaves together with those of the parameters that
  are trained. Without it a compiler may put the products for these off until
  the end, with all that they read waiting: in SD3-medium on two slices of v5e,
  0.7 GiB of the last layer.
  """
  if module.is_initializing():
    return module(carry, *constants)
  module, variables = module.unbind()
  carry, params = _together((carry, variables['params']))
  return module.apply(variables | {'params': params}, carry, *constants)


@jax.custom_jvp
def _together(tree: Any) -> Any:
  """The tree as it is; of its cotangents none is used before all are there."""
  return tree


def _only_what_changes(primals: tuple[Any], tangents: tuple[Any]) -> Any:
  """The rule of `_together`: what is not trained stays without a gradient."""
  leaves, structure = jax.tree.flatten(*tangents)
  moving = [i for i, x in enumerate(leaves) if not isinstance(x, SymbolicZero)]
  tied = jax.lax.optimization_barrier([leaves[i] for i in moving])
  for i, leaf in zip(moving, tied, strict=True):
    leaves[i] = leaf
  return *primals, jax.tree.unflatten(structure, leaves)


_together.defjvp(_only_what_changes, symbolic_zeros=True)
