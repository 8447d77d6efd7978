"""Rotary position embeddings, plain and as Llama 3 stretches them.

A pair of features i is turned by position · rate_i, rate_i = θ^(−2i/d). Llama 3
leaves rates alone whose waves are short, divides those by `factor` whose waves
are long, and goes from one to the other between. Su et al., `RoFormer
<https://arxiv.org/abs/2104.09864>`_, 2021; Grattafiori et al., `The Llama 3
Herd of Models <https://arxiv.org/abs/2407.21783>`_, 2024.
"""

import dataclasses
from typing import Annotated

import jax.numpy as jnp
import numpy as np

from adrpo_jax.models.config_types import Between, Size
from adrpo_jax.types import Array

Factor = Annotated[float, Between(1e-3, 1e6)]


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
  """The fields of `rope_type: llama3` under their names; factor 1 is plain."""

  factor: Factor = 1.0
  low_freq_factor: Factor = 1.0
  high_freq_factor: Factor = 4.0
  original_max_position_embeddings: Size = 8192

  def __post_init__(self):
    if self.high_freq_factor <= self.low_freq_factor:
      raise ValueError(
        'Expected high_freq_factor to be larger than low_freq_factor, got '
        f'{self.high_freq_factor} and {self.low_freq_factor}.'
      )


PLAIN = Llama3Scaling()


def rope_rates(
  features: int, theta: float, scaling: Llama3Scaling
) -> np.ndarray:
  """Returns the angles of one position, [d/2], for d features."""
  rates = theta ** (-np.arange(0, features, 2) / features)
  waves = scaling.original_max_position_embeddings * rates / (2 * np.pi)
  low, high = scaling.low_freq_factor, scaling.high_freq_factor
  plain = np.clip((waves - low) / (high - low), 0, 1)
  return rates * (plain + (1 - plain) / scaling.factor)


def rope_cos_sin(positions: Array, rates: np.ndarray) -> tuple[Array, Array]:
  """cos and sin of position·rate, [B, L, 1, d/2] each, float32."""
  angles = positions.astype(jnp.float32)[:, :, None, None] * jnp.asarray(
    rates[None, None, None], jnp.float32
  )
  return jnp.cos(angles), jnp.sin(angles)


def apply_rope(x: Array, rope: tuple[Array, Array]) -> Array:
  """Rotates each pair (x_i, x_{i + d/2}) of x [B, L, heads, d] by its angle."""
  cos, sin = rope
  first, second = jnp.split(x.astype(jnp.float32), 2, -1)
  pairs = (first * cos - second * sin, second * cos + first * sin)
  return jnp.concatenate(pairs, -1).astype(x.dtype)
