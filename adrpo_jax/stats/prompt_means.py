"""Means over prompts, with their standard errors.

The samples of one prompt are not independent, so each prompt counts once.
"""

from collections.abc import Sequence

import numpy as np


def over_group(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
  """Returns the mean over the valid samples of a prompt, NaN without any.

  [P, G], [P, G] bool -> [P].
  """
  count = valid.sum(1)
  mean = np.where(valid, values, 0).sum(1) / np.maximum(count, 1)
  return np.where(count > 0, mean, np.nan)


def mean_and_error(per_prompt: np.ndarray) -> tuple[float, float]:
  """Returns the mean and the standard error of the finite values of [P].

  Returns (NaN, 0) without a finite value, and an error of 0 for one value.
  """
  finite = per_prompt[np.isfinite(per_prompt)]
  if not finite.size:
    return float('nan'), 0.0
  error = finite.std(ddof=1) / np.sqrt(finite.size) if finite.size > 1 else 0.0
  return float(finite.mean()), float(error)


def by_category(
  per_prompt: np.ndarray, categories: Sequence[str]
) -> dict[str, float]:
  """Returns category -> mean of its finite values, in order of appearance."""
  names = np.array(categories)
  return {
    name: mean_and_error(per_prompt[names == name])[0]
    for name in dict.fromkeys(categories)
  }
