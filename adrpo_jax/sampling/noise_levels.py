"""Noise levels σ: the grids of the solver and the random levels of training.

Grids fall from 1 to 0. They are NumPy arrays, so they are constants of the
compiled program. Training levels come from a quantile function σ = F⁻¹(q), so
that every distribution can be sampled with stratification.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
import numpy as np

from adrpo_jax.types import Array

Quantile: TypeAlias = Callable[[Array], Array]


def uniform_sigmas(steps: int) -> np.ndarray:
  """Returns evenly spaced noise levels from 1 to 0. [N + 1]"""
  return shifted_sigmas(steps, shift=1.0)


def shifted_sigmas(steps: int, shift: float) -> np.ndarray:
  """Returns shifted noise levels σ = S(u). [N + 1]

  S(u) = shift·u / (1 + (shift−1)·u), with u evenly spaced from 1 to 0. The
  shift is applied once, as in Flow-GRPO and in diffusers with explicit sigmas.
  """
  _check_grid(steps, shift)
  return _shift(np.linspace(1.0, 0.0, steps + 1), shift).astype(np.float32)


def sd3_sigmas(steps: int, shift: float = 3.0) -> np.ndarray:
  """Returns the default grid of FlowMatchEulerDiscreteScheduler. [N + 1]

  The scheduler is that of diffusers. σ = S(u), with u evenly spaced from 1 to
  S(1/1000), then 0. The lower end is shifted twice, so the last positive level
  is 0.0089 at shift 3, for every N > 1.
  """
  _check_grid(steps, shift)
  lowest = _shift(np.float64(1 / 1000), shift)
  levels = _shift(np.linspace(1.0, lowest, steps), shift)
  return np.append(levels, 0.0).astype(np.float32)


def uniform(quantiles: Array) -> Array:
  """The quantile function of σ ~ U(0, 1), which is the identity."""
  return quantiles


def logit_normal(
  shift: float = 3.0, mean: float = 0.0, std: float = 1.0
) -> Quantile:
  """Returns the quantile function of the training noise levels of SD3.

  σ = S(t), t ~ sigmoid(N(mean, std²)), S(t) = shift·t / (1 + (shift−1)·t).

  Most levels are in the middle, and the shift of SD3's sampler moves them
  towards σ = 1 (at shift 3 the median is 0.75). Esser et al., `Scaling
  Rectified Flow Transformers <https://arxiv.org/abs/2403.03206>`_, 2024,
  section 3.1.
  """
  if shift <= 0 or std <= 0:
    raise ValueError(
      'Expected a positive shift and a positive std for logit-normal noise '
      f'levels, got shift={shift}, std={std}.'
    )

  def quantile(quantiles: Array) -> Array:
    level = jax.nn.sigmoid(mean + std * ndtri(quantiles))
    return _shift(level, shift)

  return quantile


def stratified(key: Array, draws: int, quantile: Quantile) -> Array:
  """Samples S = `draws` noise levels, one from each of S equal strata. [S]

  σ_s = F⁻¹((s + U_s)/S), U_s ~ U(0, 1). One σ_s is biased to its stratum. The
  mean over s has the expectation of the distribution and less variance.
  """
  within = jax.random.uniform(key, (draws,))
  return quantile((jnp.arange(draws, dtype=within.dtype) + within) / draws)


def _shift(levels, shift):
  return shift * levels / (1 + (shift - 1) * levels)


def _check_grid(steps, shift):
  if steps < 1 or shift <= 0:
    raise ValueError(
      'Expected at least one solver step and a positive shift, got '
      f'steps={steps}, shift={shift}.'
    )
