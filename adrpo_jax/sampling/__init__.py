"""Paths, noise levels, solvers and guidance of flow-matching models.

paths         interpolation, and estimates of data and noise from a velocity
noise_levels  noise levels of the solver and of training
solvers       ODE and SDE transitions, the scan over them, log-probabilities
guidance      classifier-free guidance
"""

from adrpo_jax.sampling.guidance import guided
from adrpo_jax.sampling.noise_levels import (
  logit_normal,
  sd3_sigmas,
  shifted_sigmas,
  stratified,
  uniform,
  uniform_sigmas,
)
from adrpo_jax.sampling.paths import (
  clean_estimate,
  interpolate,
  noise_estimate,
  velocity_target,
)
from adrpo_jax.sampling.solvers import (
  Steps,
  Transition,
  cps,
  dance_sde,
  euler,
  flow_sde,
  heun,
  log_prob,
  solve,
  solve_with_steps,
)

__all__ = [
  'Steps',
  'Transition',
  'clean_estimate',
  'cps',
  'dance_sde',
  'euler',
  'flow_sde',
  'guided',
  'heun',
  'interpolate',
  'log_prob',
  'logit_normal',
  'noise_estimate',
  'sd3_sigmas',
  'shifted_sigmas',
  'solve',
  'solve_with_steps',
  'stratified',
  'uniform',
  'uniform_sigmas',
  'velocity_target',
]
