"""Where theory says that an online loop stands still, by integration.

None of the code under test takes part, only NumPy: on a line the solver keeps
order, so quantiles of the noise pushed through it are quantiles of the policy,
and expectations under the policy are means over them.
"""

from collections.abc import Callable
import statistics
from typing import NamedTuple

from line_world import LEVELS, SIGMAS, STEPS, World
import numpy as np

PARTICLES = 200
NOISE = np.array(
  [
    statistics.NormalDist().inv_cdf((i + 0.5) / PARTICLES)
    for i in range(PARTICLES)
  ]
)
SIGMA = LEVELS.astype(float)[:, None]  # [levels, 1]


class Point(NamedTuple):
  """A policy that the loss of a method leaves where it is.

  samples:  equally likely quantiles [particles]
  velocity: at the knots of the world [levels, knots]
  density:  of its renoised samples there, 1 in sum on every level
  moving:   the largest change of a quantile in the last round
  """

  samples: np.ndarray
  velocity: np.ndarray
  density: np.ndarray
  moving: float

  def distance(self, velocity: np.ndarray) -> float:
    """⟨(v − velocity)²⟩ over the renoised samples of this policy."""
    square = (self.velocity - velocity) ** 2
    return float((self.density * square).sum(1).mean())


def fixed_point(
  world: World,
  kind: int,
  weigh: Callable,
  *,
  rounds: int = 120,
  damping: float = 0.5,
) -> Point:
  """Where w_p⟨(v − u)²⟩ + w_d⟨(v − v_ref)²⟩ on own samples is level in v.

  That is E[w_p(u − v) | x] + E[w_d | x](v_ref − v) = 0 for every x and σ, with
  x₀ from the policy, given x = (1−σ)x₀ + σε. v follows the left side until it
  vanishes.

  Args:
    weigh: rewards [particles] -> (w_p, w_d), as the theory has them.
  """
  x = world.places()
  reference = world.reference_at_knots()
  v, before = reference, NOISE
  for _ in range(rounds):
    x0 = _solved(world, v - reference)
    moving, before = np.abs(x0 - before).max(), x0
    policy, divergence = weigh(np.asarray(world.rewards[kind](x0), float))
    density, share = _posterior(x, x0)
    u = (x[None, :, None] - x0) / SIGMA[..., None]
    step = (share * policy * (u - v[..., None])).sum(2)
    step += (share * divergence).sum(2) * (reference - v)
    v = v + damping / np.max(np.abs(policy + divergence)) * step
  return Point(x0, v, density, float(moving))


def _solved(world, shift):
  """The noise pushed through v_ref + shift [levels, knots]."""
  x = NOISE
  for level in range(STEPS):
    sigma = np.full(PARTICLES, LEVELS[level], float)
    slope = world.reference.velocity(x, sigma, np)
    slope = slope + np.interp(x, world.places(), shift[level])
    x = x + (SIGMAS[level + 1] - SIGMAS[level]) * slope
  return x


def _posterior(x, x0):
  """p_σ(x) [levels, knots], and p(x₀ | x) [levels, knots, particles]."""
  gap = (x[None, :, None] - (1 - SIGMA[..., None]) * x0) / SIGMA[..., None]
  logits = -(gap**2) / 2
  highest = logits.max(2, keepdims=True)
  share = np.exp(logits - highest)
  total = share.sum(2, keepdims=True)
  density = (total * np.exp(highest))[..., 0]
  return density / density.sum(1, keepdims=True), share / total
