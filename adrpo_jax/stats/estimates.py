"""The mean and standard error of a number over seeds."""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from adrpo_jax.stats.number_format import is_finite


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over seeds, its standard error, and the values of the seeds."""

  mean: float
  error: float | None
  values: tuple[float, ...]


def estimate(
  values: Sequence[float | None], errors: Sequence[float | None] = ()
) -> Estimate | None:
  """Returns the mean and the standard error s/√n of the finite values.

  With one value, the error is the one of its evaluation over prompts. Returns
  None without a finite value.
  """
  finite = [float(value) for value in values if is_finite(value)]
  if not finite:
    return None
  error = next((e for e in errors if is_finite(e)), None)
  if len(finite) > 1:
    error = float(np.std(finite, ddof=1) / math.sqrt(len(finite)))
  return Estimate(float(np.mean(finite)), error, tuple(finite))
