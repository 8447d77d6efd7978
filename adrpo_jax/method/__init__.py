"""The method core: from rewards to a regularized loss, for any model.

advantages     pure functions of the rewards of a prompt
transforms     the chain that turns rewards into loss weights; ADRPO is here
divergences    distances of a policy from an anchor, per entry
policy_losses  losses that the policy weight multiplies, per entry
record         the record of a method
methods        the table of methods for flow models
guards         checks of the parameters of a method
"""

from adrpo_jax.method.divergences import transition_kl, velocity_w2
from adrpo_jax.method.guards import check_group_size
from adrpo_jax.method.methods import (
  METHODS,
  make_method,
  parameters,
)
from adrpo_jax.method.policy_losses import (
  regression_target,
  target_regression,
  velocity_matching,
)
from adrpo_jax.method.record import (
  DivergenceTerm,
  Method,
  anchors,
  divergence_weights,
)
from adrpo_jax.method.transforms import (
  Transform,
  adaptive_divergence,
  adrpo,
  best_against_worst,
  best_of_group,
  center_by_group,
  chain,
  clip_advantages,
  exponentiate,
  fixed_divergence,
  fixed_w2,
  leave_one_out,
  orw_cfm_w2,
  scale_advantages,
  softmax_of_group,
  standardize_by_batch,
  standardize_by_group,
  standardize_running,
  weigh,
)

__all__ = [
  'METHODS',
  'DivergenceTerm',
  'Method',
  'Transform',
  'adaptive_divergence',
  'adrpo',
  'anchors',
  'best_against_worst',
  'best_of_group',
  'center_by_group',
  'chain',
  'check_group_size',
  'clip_advantages',
  'divergence_weights',
  'exponentiate',
  'fixed_divergence',
  'fixed_w2',
  'leave_one_out',
  'make_method',
  'orw_cfm_w2',
  'parameters',
  'regression_target',
  'scale_advantages',
  'softmax_of_group',
  'standardize_by_batch',
  'standardize_by_group',
  'standardize_running',
  'target_regression',
  'transition_kl',
  'velocity_matching',
  'velocity_w2',
  'weigh',
]
