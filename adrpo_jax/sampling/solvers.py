"""Transitions from one noise level to the next, and the solver.

A transition has a mean and a std: x' = μ(x, σ, σ') + s(σ, σ')·z. ODE steps have
std 0. SDE steps also have a log-density of x', computed by the same function in
the rollout and in its replay. Noise falls along a grid, so dt = σ' − σ < 0.
"""

from collections.abc import Callable
import math
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from adrpo_jax.sampling.paths import (
  clean_estimate,
  latent_mean,
  noise_estimate,
)
from adrpo_jax.types import Array, append_axes

Field: TypeAlias = Callable[[Array, Array], Array]


class Transition(NamedTuple):
  """One solver step, as functions over leading axes [*] and latents [*, *D].

  mean:        (field, x [*, *D], sigma [*], sigma_next [*]) -> μ [*, *D], where
               field is (x, sigma) -> v. An SDE step calls it once, at (x, σ).
  std:         (sigma [*], sigma_next [*]) -> s [*], the std of the added noise.
  log_density: (x_next, mean, std) -> [*], a mean over latents as in Flow-GRPO;
               None if the step is deterministic.
  """

  mean: Callable[[Field, Array, Array, Array], Array]
  std: Callable[[Array, Array], Array]
  log_density: Callable[[Array, Array, Array], Array] | None


class Steps(NamedTuple):
  """The N recorded transitions of a batch."""

  x: Array  # [B, N, *D]
  x_next: Array  # [B, N, *D]
  sigma: Array  # [B, N]
  sigma_next: Array  # [B, N]
  log_prob: Array  # [B, N]


def euler() -> Transition:
  """The Euler step μ = x + v·dt: one velocity evaluation, order 1."""

  def mean(field, x, sigma, sigma_next):
    return x + append_axes(sigma_next - sigma, x) * field(x, sigma)

  return Transition(mean, _no_noise, None)


def heun() -> Transition:
  """The Heun step: two velocity evaluations, order 2.

  μ = x + ½(v(x, σ) + v(x + v·dt, σ'))·dt. The last step is corrected too,
  because a velocity, unlike a noise prediction, is regular at σ = 0.
  """

  def mean(field, x, sigma, sigma_next):
    dt = append_axes(sigma_next - sigma, x)
    first = field(x, sigma)
    second = field(x + dt * first, sigma_next)
    return x + 0.5 * dt * (first + second)

  return Transition(mean, _no_noise, None)


def flow_sde(eta: float) -> Transition:
  """The SDE that has the marginals of the ODE, discretized as in Flow-GRPO.

  s = η·√(σ/(1−σ)),   std = s·√(−dt),
  μ = x·(1 + s²/(2σ)·dt) + v·(1 + s²(1−σ)/(2σ))·dt

  At σ = 1, s is computed with the next level of the grid instead of σ. Liu et
  al., `Flow-GRPO <https://arxiv.org/abs/2505.05470>`_, 2025.
  """
  _check_eta(eta)

  def spread(sigma, sigma_next):
    level = jnp.where(sigma < 1, sigma, sigma_next)
    return eta * jnp.sqrt(level / (1 - level))

  def mean(field, x, sigma, sigma_next):
    dt = sigma_next - sigma
    drift = spread(sigma, sigma_next) ** 2 / (2 * sigma)
    from_x = append_axes(1 + drift * dt, x)
    from_v = append_axes((1 + drift * (1 - sigma)) * dt, x)
    return from_x * x + from_v * field(x, sigma)

  def std(sigma, sigma_next):
    return spread(sigma, sigma_next) * jnp.sqrt(sigma - sigma_next)

  return Transition(mean, std, _gaussian if eta else None)


def dance_sde(eta: float) -> Transition:
  """The SDE with constant noise and a drift corrected by the estimated score.

  score = −(x − (1−σ)·x̂₀)/σ²,   std = η·√(−dt),   μ = x + (v − ½η²·score)·dt

  Xue et al., `DanceGRPO <https://arxiv.org/abs/2505.07818>`_, 2025.
  """
  _check_eta(eta)

  def mean(field, x, sigma, sigma_next):
    velocity = field(x, sigma)
    level = append_axes(sigma, x)
    clean = clean_estimate(x, velocity, sigma)
    score = -(x - (1 - level) * clean) / level**2
    dt = append_axes(sigma_next - sigma, x)
    return x + (velocity - 0.5 * eta**2 * score) * dt

  def std(sigma, sigma_next):
    return eta * jnp.sqrt(sigma - sigma_next)

  return Transition(mean, std, _gaussian if eta else None)


def cps(eta: float) -> Transition:
  """Coefficients-preserving sampling: new noise replaces a part of the old.

  s = σ'·sin(ηπ/2),   std = s,   μ = (1−σ')·x̂₀ + √(σ'² − s²)·ε̂

  Its log-density is −⟨(x'−μ)²⟩: it drops all constants, as the authors do. The
  step to σ' = 0 is deterministic. The samples have too little variance (a
  Gaussian of std 0.3 comes out with 0.76 of that std for η = 0.7 in 40 steps).
  Wang and Yu, `Coefficients-Preserving Sampling
  <https://arxiv.org/abs/2509.05952>`_, 2025.
  """
  _check_eta(eta, most=1.0)
  angle = eta * math.pi / 2

  def mean(field, x, sigma, sigma_next):
    velocity = field(x, sigma)
    clean = clean_estimate(x, velocity, sigma)
    noise = noise_estimate(x, velocity, sigma)
    level = append_axes(sigma_next, x)
    return (1 - level) * clean + level * math.cos(angle) * noise

  def std(sigma, sigma_next):
    del sigma
    return sigma_next * math.sin(angle)

  return Transition(mean, std, _negative_distance if eta else None)


def log_prob(
  transition: Transition, x_next: Array, mean: Array, std: Array
) -> Array:
  """Returns log p(x' | x) of a step, ⟨·⟩ over latents, in float32.

  x_next, mean [*, *D], std [*] -> [*]. Both the rollout and its replay call
  this function.

  Raises:
    ValueError: the transition is deterministic and so has no density.
  """
  if transition.log_density is None:
    raise ValueError(
      'Expected a stochastic transition for log-probabilities, got a '
      'deterministic one (an ODE step, or an SDE at eta=0). Use '
      'flow_sde(eta), dance_sde(eta) or cps(eta) with eta > 0.'
    )
  return transition.log_density(x_next, mean, std)


def solve(
  field: Field, x: Array, sigmas: Array, transition: Transition, keys: Array
) -> Array:
  """Applies `transition` along a grid of noise levels, in one scan.

  Args:
    field: (x [B, *D], sigma [B]) -> v [B, *D].
    x: [B, *D], the state at sigmas[0].
    sigmas: [N + 1], falling.
    transition: see `Transition`.
    keys: [B], a key for each row. The noise of a row depends only on its key.
      Deterministic transitions do not use the keys.

  Returns:
    The state at sigmas[-1], [B, *D] float32.
  """

  def step(x, inputs):
    x_next, _, _ = _advance(field, x, inputs, transition, keys)
    return x_next, None

  return jax.lax.scan(step, x.astype(jnp.float32), _intervals(sigmas))[0]


def solve_with_steps(
  field: Field, x: Array, sigmas: Array, transition: Transition, keys: Array
) -> tuple[Array, Steps]:
  """Runs `solve` and also returns its `Steps` with log-probabilities."""

  def step(x, inputs):
    x_next, mean, std = _advance(field, x, inputs, transition, keys)
    log_density = log_prob(transition, x_next, mean, std)
    _, sigma, sigma_next = inputs
    row = jnp.ones_like(std)
    return x_next, Steps(x, x_next, sigma * row, sigma_next * row, log_density)

  x0, steps = jax.lax.scan(step, x.astype(jnp.float32), _intervals(sigmas))
  return x0, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), steps)


def _advance(field, x, inputs, transition, keys):
  """Takes one step for all rows. Returns (x', μ, s)."""
  index, sigma, sigma_next = inputs
  rows = jnp.ones(x.shape[:1], jnp.float32)
  sigma, sigma_next = sigma * rows, sigma_next * rows
  mean = transition.mean(_in_float32(field), x, sigma, sigma_next)
  std = transition.std(sigma, sigma_next)
  if transition.log_density is None:
    return mean, mean, std
  noise = jax.vmap(lambda key: _normal(key, index, x.shape[1:]))(keys)
  return mean + append_axes(std, x) * noise, mean, std


def _intervals(sigmas):
  sigmas = jnp.asarray(sigmas, jnp.float32)
  return jnp.arange(len(sigmas) - 1), sigmas[:-1], sigmas[1:]


def _in_float32(field):
  return lambda x, sigma: field(x, sigma).astype(jnp.float32)


def _normal(key, index, shape):
  return jax.random.normal(jax.random.fold_in(key, index), shape)


def _no_noise(sigma, sigma_next):
  del sigma_next
  return jnp.zeros_like(sigma)


def _gaussian(x_next, mean, std):
  """Returns ⟨−(x'−μ)²/(2 std²)⟩ − log std − ½ log 2π."""
  distance = latent_mean((x_next - mean) ** 2, std.ndim)
  constant = 0.5 * math.log(2 * math.pi)
  return -distance / (2 * std**2) - jnp.log(std) - constant


def _negative_distance(x_next, mean, std):
  """Returns −⟨(x'−μ)²⟩."""
  return -latent_mean((x_next - mean) ** 2, std.ndim)


def _check_eta(eta, most=math.inf):
  if not 0 <= eta <= most:
    raise ValueError(f'Expected eta between 0 and {most}, got {eta}.')
