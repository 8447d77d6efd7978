"""A running mean for curves of noisy values."""

import numpy as np


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
  """Returns the centered mean over an odd window, which is cut at the ends."""
  ones = np.ones(min(window, 2 * len(values) - 1))
  total = np.convolve(values, ones, 'full')
  count = np.convolve(np.ones(len(values)), ones, 'full')
  start = len(ones) // 2
  return (total / count)[start : start + len(values)]


def smoothing_window(length: int) -> int:
  """Returns the smoothing window of a curve: a tenth of its length, odd."""
  return 2 * (length // 20) + 1
