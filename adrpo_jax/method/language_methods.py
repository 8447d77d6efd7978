"""The table of methods for language models.

A training step gives token (p, g, t) the loss

  w.policy · ℓ_policy + w.divergence · D

where ℓ_policy is a clipped surrogate and D an estimator of the divergence from
the reference; the aggregation gives the scale of a token. The defaults suit
rewards in [0, 1].
"""

from collections.abc import Callable
from functools import partial

from adrpo_jax.errors import unknown_name
from adrpo_jax.method import (
  advantages,
  aggregations,
  guards,
  kl_estimators,
  token_losses,
  transforms,
)
from adrpo_jax.method.record import DivergenceTerm, Method
from adrpo_jax.method.table import Row, Table
from adrpo_jax.method.transforms import Transform, chain

ADVANTAGES: dict[str, Callable[[], Transform]] = {
  'group': partial(transforms.standardize_by_group, ddof=1),
  'batch': transforms.standardize_by_batch,
  'centered': transforms.center_by_group,
  'leave_one_out': transforms.leave_one_out,
  'none': partial(transforms.scale_advantages, 1.0),
}
RATIOS = {
  'token': token_losses.token_ratio,
  'sequence': token_losses.sequence_ratio,
  'product': token_losses.product_ratio,
}
AGGREGATIONS: dict[str, Callable[[int], aggregations.Aggregation]] = {
  'sample_mean': lambda longest: aggregations.sample_mean,
  'entry_mean': lambda longest: aggregations.entry_mean,
  'constant_length': aggregations.constant_length,
}


def _adrpo(
  *,
  beta0: float = 0.1,
  scale: float = 1.0,
  clip: float = 0.5,
  advantage: str = 'group',
  ratio: str = 'token',
  clip_low: float = 0.2,
  clip_high: float = 0.2,
  dual_clip: float = 0.0,
  kl: str = 'ratio_k3',
  guard: bool = True,
  aggregation: str = 'sample_mean',
  max_completion_length: int = 0,
  zero_variance: str = 'keep',
) -> Method:
  """The clipped surrogate + (β₀ − λ·clip(A, ±c))·KL.

  A is clipped only in the coefficient. `guard` sets the coefficient to 0 at a
  token where it is negative and π < π_ref/2: there it would lower the
  probability of a token of a good sample. 0 stands for no `dual_clip`, and for
  no `clip`, with the coefficient β₀ − A; the aggregation 'constant_length'
  divides by `max_completion_length`, the most tokens of a completion.
  """
  guards.warn_if_unbounded(kl, clip, guarded=guard)
  return _surrogate(
    chain(
      _named('advantage', advantage, ADVANTAGES)(),
      transforms.adaptive_divergence(beta0, scale, clip or None),
    ),
    ratio=ratio,
    clips=(clip_low, clip_high, dual_clip),
    kl=kl,
    guard=guard,
    aggregation=_aggregation(aggregation, max_completion_length),
    zero_variance=zero_variance,
  )


def _grpo(
  *,
  beta: float = 0.04,
  advantage: str = 'group',
  ratio: str = 'token',
  clip_low: float = 0.2,
  clip_high: float = 0.2,
  dual_clip: float = 0.0,
  kl: str = 'ratio_k3',
  aggregation: str = 'sample_mean',
  max_completion_length: int = 0,
  zero_variance: str = 'keep',
) -> Method:
  """The clipped surrogate + β·KL; β = 0 for no KL.

  With ratio 'sequence' it is GSPO, with aggregation 'entry_mean' DAPO's, with
  'constant_length' and advantage 'centered' Dr. GRPO's.
  """
  return _surrogate(
    chain(
      _named('advantage', advantage, ADVANTAGES)(),
      transforms.fixed_divergence(beta),
    ),
    ratio=ratio,
    clips=(clip_low, clip_high, dual_clip),
    kl=kl if beta else '',
    guard=False,
    aggregation=_aggregation(aggregation, max_completion_length),
    zero_variance=zero_variance,
  )


def _rloo(
  *,
  beta: float = 0.04,
  clip_low: float = 0.2,
  clip_high: float = 0.2,
  kl: str = 'ratio_k3',
  zero_variance: str = 'keep',
) -> Method:
  """The clipped surrogate of whole completions + β·KL.

  A is the reward minus the mean of the prompt's other samples.
  """
  return _surrogate(
    chain(transforms.leave_one_out(), transforms.fixed_divergence(beta)),
    ratio='product',
    clips=(clip_low, clip_high, 0.0),
    kl=kl if beta else '',
    guard=False,
    aggregation=aggregations.sample_mean,
    zero_variance=zero_variance,
  )


def _dpo(*, beta: float = 0.1) -> Method:
  """DPO on pairs drawn once from the base; ties give no pair."""
  return Method(
    weights=transforms.best_against_worst(),
    policy_loss=token_losses.dpo_pairs(beta),
    divergences=(),
    behavior='base',
    usable=advantages.drop_equal_groups,
    needs=frozenset({'pairs'}),
    policy_anchors=('reference',),
  )


LANGUAGE_METHODS = Table(
  adrpo=Row(
    'ADRPO',
    _adrpo,
    'Fan et al., 2025, arXiv:2510.18053',
    # β₀ and the range ±β₀ are published for audio; the estimator is that of
    # the authors' library.
    paper={'beta0': 0.04, 'clip': 0.04, 'kl': 'k3', 'guard': False},
    from_run=('max_completion_length',),
  ),
  grpo=Row(
    'GRPO',
    _grpo,
    'Shao et al., 2024, arXiv:2402.03300',
    from_run=('max_completion_length',),
  ),
  rloo=Row('RLOO', _rloo, 'Ahmadian et al., 2024, arXiv:2402.14740'),
  dpo=Row('DPO', _dpo, 'Rafailov et al., 2023, arXiv:2305.18290'),
)


def _surrogate(
  weights: Transform,
  *,
  ratio: str,
  clips: tuple[float, float, float],
  kl: str,
  guard: bool,
  aggregation: aggregations.Aggregation,
  zero_variance: str,
) -> Method:
  low, high, dual = clips
  released = kl_estimators.past_flip if guard else None
  term = DivergenceTerm(_estimator(kl), 'reference', released=released)
  return Method(
    weights=weights,
    policy_loss=token_losses.clipped(
      _named('ratio', ratio, RATIOS), low, high, dual=dual or None
    ),
    divergences=(term,) if kl else (),
    behavior='current',
    usable=advantages.usable_samples(zero_variance),
    needs=frozenset({'group'} | ({'full_kl'} if kl == 'full' else set())),
    aggregation=aggregation,
  )


def _estimator(name: str) -> kl_estimators.Estimator:
  if name in kl_estimators.REFUSED:
    raise ValueError(
      f'Expected a KL estimator that holds the policy back, got {name!r}. '
      f'{kl_estimators.REFUSED[name]}'
    )
  return _named('kl', name or 'k3', kl_estimators.ESTIMATORS)


def _aggregation(
  name: str, max_completion_length: int
) -> aggregations.Aggregation:
  return _named('aggregation', name, AGGREGATIONS)(max_completion_length)


def _named(kind: str, name: str, choices: dict) -> Callable:
  if name not in choices:
    raise unknown_name(name, choices, kind)
  return choices[name]
