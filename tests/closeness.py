"""Parity with PyTorch: the largest relative error of a tensor."""

import numpy as np

TOLERANCE = 2e-5  # fp32


def distance(ours, theirs) -> float:
  """max|a − b| / max|b|; fails if the shapes differ."""
  ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
  assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
  return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-12))


def check_gradients(ours, parameters) -> None:
  """Compares gradients with those of torch parameters, tensor by tensor.

  Some are zero in exact arithmetic (the bias of a key, what only the last
  block's text reads): there both must be rounding errors.
  """
  theirs = {
    name: np.zeros(p.shape) if p.grad is None else p.grad.numpy()
    for name, p in parameters.items()
  }
  assert set(ours) == set(theirs)
  largest = max(np.abs(g).max() for g in theirs.values())
  for name, gradient in theirs.items():
    if np.abs(gradient).max() < 1e-6 * largest:
      assert np.abs(ours[name]).max() < 1e-6 * largest, name
    else:
      error = distance(ours[name], gradient)
      assert error < TOLERANCE, (name, error)
