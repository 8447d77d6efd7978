"""The encoded prompt that conditions an image model."""

from typing import NamedTuple

import numpy as np

from adrpo_jax.types import Array


class Condition(NamedTuple):
  """An encoded prompt: states [*, L, D] and a pooled vector [*, D]."""

  states: Array | np.ndarray
  pooled: Array | np.ndarray
