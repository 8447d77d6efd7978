"""Adaptive divergence regularized policy optimization (ADRPO) in JAX.

Importing the package gives the method core, usable in any training loop: no
model, no config and no data is imported with it.
"""

from adrpo_jax.system.stop_signals import end_until_listened

end_until_listened(['adrpo_jax.main', 'adrpo_jax.compare', 'adrpo-jax'])

from adrpo_jax import method
from adrpo_jax.method import *  # noqa: F403
from adrpo_jax.types import (
  LossTerms,
  Modality,
  Renoised,
  Scores,
  TrainState,
  Trajectory,
  Weights,
)

__all__ = [
  *method.__all__,
  'LossTerms',
  'Modality',
  'Renoised',
  'Scores',
  'TrainState',
  'Trajectory',
  'Weights',
]
