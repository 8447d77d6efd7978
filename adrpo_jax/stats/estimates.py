"""A number over seeds: its mean and standard error."""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from adrpo_jax.stats.number_format import known


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over seeds with its standard error, and what it was made of."""

  mean: float
  error: float | None
  values: tuple[float, ...]


def estimate(
  values: Sequence[float | None], errors: Sequence[float | None] = ()
) -> Estimate | None:
  """Mean and standard error s/√n of what is known of values.

  With one value the error is its own, that of its evaluation over prompts;
  None where nothing is known.
  """
  there = [float(value) for value in values if known(value)]
  if not there:
    return None
  error = next((e for e in errors if known(e)), None)
  if len(there) > 1:
    error = float(np.std(there, ddof=1) / math.sqrt(len(there)))
  return Estimate(float(np.mean(there)), error, tuple(there))
