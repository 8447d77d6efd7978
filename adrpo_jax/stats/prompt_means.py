"""Figures of groups of samples: means over prompts, with their errors.

The samples of one prompt are not independent, so a prompt counts once.
"""

from collections.abc import Sequence

import numpy as np


def over_group(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
  """Mean over the valid samples of each prompt, NaN where there are none.

  [P, G], [P, G] bool -> [P].
  """
  count = valid.sum(1)
  mean = np.where(valid, values, 0).sum(1) / np.maximum(count, 1)
  return np.where(count > 0, mean, np.nan)


def mean_and_error(per_prompt: np.ndarray) -> tuple[float, float]:
  """Mean and standard error of the finite values of [P].

  (NaN, 0) where there are none; an error of 0 where there is one.
  """
  known = per_prompt[np.isfinite(per_prompt)]
  if not known.size:
    return float('nan'), 0.0
  error = known.std(ddof=1) / np.sqrt(known.size) if known.size > 1 else 0.0
  return float(known.mean()), float(error)


def by_category(
  per_prompt: np.ndarray, categories: Sequence[str]
) -> dict[str, float]:
  """Category -> mean of its finite values, in the order of appearance."""
  names = np.array(categories)
  return {
    name: mean_and_error(per_prompt[names == name])[0]
    for name in dict.fromkeys(categories)
  }
