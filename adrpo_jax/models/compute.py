"""How a model is computed, as opposed to what it is.

None of it changes a result beyond rounding, so none of it is in a model's
config or in its file.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import flax.linen as nn
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
  unroll: bool = True
  checkpoint: Callable[..., bool] | None = None
  constrain: Callable[[Any], Any] = _as_it_is


def stack(block: type[nn.Module], count: int, compute: Compute) -> Any:
  """A module class of `count` layers in a row, their parameters stacked.

  `block` is called as (carry, *constants) -> (carry, None). Each parameter
  gets a leading axis of layers, and so do adapters put beside it.
  """
  if compute.checkpoint is not None:
    block = nn.remat(block, policy=compute.checkpoint, prevent_cse=False)
  return nn.scan(
    block,
    variable_axes={'params': 0},
    split_rngs={'params': True},
    in_axes=nn.broadcast,
    length=count,
    unroll=count if compute.unroll else 1,
  )
