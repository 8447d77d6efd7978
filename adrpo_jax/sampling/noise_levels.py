"""Noise levels σ: the grids of the solver and the draws of training.

Grids fall from 1 to 0 and are NumPy arrays, known before compilation. Training
draws come from a quantile function σ = F⁻¹(q), so that any distribution can be
drawn stratified.
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
  """[N + 1] noise levels, evenly from 1 to 0."""
  return shifted_sigmas(steps, shift=1.0)


def shifted_sigmas(steps: int, shift: float) -> np.ndarray:
  """σ = S(u), u even from 1 to 0, S(u) = shift·u / (1 + (shift−1)·u). [N + 1]

  Shifted once: what diffusers does with explicit sigmas, and Flow-GRPO.
  """
  _check_grid(steps, shift)
  return _shift(np.linspace(1.0, 0.0, steps + 1), shift).astype(np.float32)


def sd3_sigmas(steps: int, shift: float = 3.0) -> np.ndarray:
  """The default grid of diffusers' FlowMatchEulerDiscreteScheduler. [N + 1]

  σ = S(u), u even from 1 to S(1/1000), then 0: the lower end is shifted twice,
  so the last positive level is 0.0089 at shift 3, for every N > 1.
  """
  _check_grid(steps, shift)
  lowest = _shift(np.float64(1 / 1000), shift)
  levels = _shift(np.linspace(1.0, lowest, steps), shift)
  return np.append(levels, 0.0).astype(np.float32)


def uniform(quantiles: Array) -> Array:
  """σ ~ U(0, 1), as a quantile function: the identity."""
  return quantiles


def logit_normal(
  shift: float = 3.0, mean: float = 0.0, std: float = 1.0
) -> Quantile:
  """σ = S(t), t ~ sigmoid(N(mean, std²)), S(t) = shift·t / (1 + (shift−1)·t).

  The training noise levels of SD3: most draws at middle noise, moved towards
  σ = 1 by the shift that its sampler uses (at shift 3 the median is 0.75).
  Esser et al., `Scaling Rectified Flow Transformers
  <https://arxiv.org/abs/2403.03206>`_, 2024, section 3.1.
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
  """`draws` noise levels [S], one from each of S equally likely strata.

  σ_s = F⁻¹((s + U_s)/S), U_s ~ U(0, 1). Each σ_s alone is biased to its
  stratum; the mean over s is that of the distribution, with less variance.
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
