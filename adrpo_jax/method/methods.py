"""The table of methods for flow models.

A method is a row: a chain of loss transforms, a policy loss, divergence terms
and the schedules of the copies of the parameters that it needs. A training step
gives entry (p, g, s) the loss

  w.policy · ℓ_policy + Σ_k divergence_weights[k] · D_k

and averages over entries of valid samples. The defaults suit rewards in [0, 1]
whose spread within a prompt is about 0.2.
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
import optax

from adrpo_jax.method import advantages, divergences, policy_losses, transforms
from adrpo_jax.method.record import DivergenceTerm, Method, weight_of_chain
from adrpo_jax.method.table import Row, Table
from adrpo_jax.method.transforms import chain
from adrpo_jax.types import Array, Weights


def _adrpo(
  *,
  beta0: float = 0.25,
  advantage_clip: float = 0.9,
  policy_advantage_clip: float = 0.0,
  zero_variance: str = 'keep',
  allow_unstable: bool = False,
) -> Method:
  """A⟨(v − u)²⟩ + (β₀ − A)⟨(v − v_ref)²⟩, |A| ≤ advantage_clip·β₀.

  `policy_advantage_clip` gives the A of the policy term a bound of its own, in
  units of β₀ too; at 0 there is one bound for both.
  """
  policy_clip = (policy_advantage_clip or advantage_clip) * beta0
  return Method(
    weights=transforms.adrpo(
      beta0,
      advantage_clip * beta0,
      policy_clip=policy_clip,
      allow_unstable=allow_unstable,
    ),
    policy_loss=policy_losses.velocity_matching,
    divergences=(_w2('reference'),),
    behavior='current',
    usable=advantages.usable_samples(zero_variance),
    needs=frozenset({'group'}),
  )


def _orw_cfm_w2(
  *, tau: float = 1.0, alpha: float = 0.4, refresh: int = 1
) -> Method:
  """exp(τ r)⟨(v − u)²⟩ + α⟨(v − v_ref)²⟩, sampled by a copy of the policy.

  The copy is refreshed after every `refresh` training steps.
  """
  return Method(
    weights=transforms.orw_cfm_w2(tau, alpha),
    policy_loss=policy_losses.velocity_matching,
    divergences=(_w2('reference'),),
    behavior='old',
    usable=advantages.keep_equal_groups,
    old_decay=_refreshed_every(refresh),
  )


def _fixed_w2(
  *,
  beta: float = 0.25,
  advantage_clip: float = 0.9,
  zero_variance: str = 'keep',
) -> Method:
  """A⟨(v − u)²⟩ + β⟨(v − v_ref)²⟩, the fixed coefficient ADRPO replaces."""
  return Method(
    weights=transforms.fixed_w2(beta, advantage_clip * beta),
    policy_loss=policy_losses.velocity_matching,
    divergences=(_w2('reference'),),
    behavior='current',
    usable=advantages.usable_samples(zero_variance),
    needs=frozenset({'group'}),
  )


def _nft(
  *,
  beta: float = 1.0,
  clip: float = 5.0,
  reference_weight: float = 1e-4,
  old_decay: float = 0.5,
  old_decay_steps: int = 500,
  self_normalized: bool = False,
  zero_variance: str = 'keep',
) -> Method:
  """A′⟨(v − u)²⟩ + (β − A′)⟨(v − v_old)²⟩ + c⟨(v − v_ref)²⟩.

  A′ = clip(A, ±clip)/clip with A standardized by group. ADRPO's loss with a
  slowly moving anchor, whose decay rises from 0 to `old_decay`. Self-normalized
  it is the published loss over A_max = 5, so that 1e-4 there is 2e-5 here.
  """
  matching: Callable[..., Array] = policy_losses.velocity_matching
  divergence: Callable[..., Array] = divergences.velocity_w2
  coefficient = transforms.adaptive_divergence(beta)
  if self_normalized:
    matching = policy_losses.implicit_pair_difference(beta)
    divergence = partial(divergences.implicit_pair_mean, beta=beta)
    coefficient = transforms.fixed_divergence(1.0)
  return Method(
    weights=chain(_standardized_to_one(clip), coefficient),
    policy_loss=matching,
    divergences=(
      DivergenceTerm(divergence, 'old'),
      _w2('reference', _constant(reference_weight)),
    ),
    behavior='old',
    usable=advantages.usable_samples(zero_variance),
    needs=frozenset({'group'}),
    policy_anchors=('old',) if self_normalized else (),
    old_decay=optax.linear_schedule(0.0, old_decay, old_decay_steps),
  )


def _ram(
  *,
  beta: float = 0.25,
  advantage_clip: float = 0.9,
  zero_variance: str = 'keep',
) -> Method:
  """β⟨(v − sg[v_ref + (A/β)(u − v_old)])²⟩, v_old the policy of the rollout."""
  return Method(
    weights=transforms.fixed_w2(beta, advantage_clip * beta),
    policy_loss=policy_losses.residual_matching('old'),
    divergences=(_w2('reference'),),
    behavior='current',
    usable=advantages.usable_samples(zero_variance),
    needs=frozenset({'group'}),
    policy_anchors=('old',),
    old_decay=_refreshed_every(1),
  )


def _awm(
  *,
  beta: float = 0.4,
  clip: float = 5.0,
  clip_range: float = 1.0,
  ema_weight: float = 1.0,
  ema_decay: float = 0.3,
  ema_decay_steps: int = 300,
  zero_variance: str = 'keep',
) -> Method:
  """Clipped A′·ρ + β⟨(v − v_ref)²⟩ + c⟨(v − v_ema)²⟩, ρ of log p = −⟨(v − u)²⟩.

  A′ as in `nft`; the decay of the average rises from 0 to `ema_decay`.
  """
  return Method(
    weights=chain(
      _standardized_to_one(clip), transforms.fixed_divergence(beta)
    ),
    policy_loss=policy_losses.clipped_elbo(clip_range),
    divergences=(_w2('reference'), _w2('ema', _constant(ema_weight))),
    behavior='current',
    usable=advantages.usable_samples(zero_variance),
    needs=frozenset({'group'}),
    policy_anchors=('old',),
    old_decay=_refreshed_every(1),
    ema_decay=optax.linear_schedule(0.0, ema_decay, ema_decay_steps),
  )


def _raft() -> Method:
  """⟨(v − u)²⟩ on the best sample of each prompt, without a divergence."""
  return Method(
    weights=transforms.best_of_group(),
    policy_loss=policy_losses.velocity_matching,
    divergences=(),
    behavior='current',
    usable=advantages.drop_equal_groups,
    needs=frozenset({'group'}),
  )


def _rwr(*, temperature: float = 0.1) -> Method:
  """softmax(r/T)·⟨(v − u)²⟩ over each prompt, without a divergence."""
  return Method(
    weights=transforms.softmax_of_group(temperature),
    policy_loss=policy_losses.velocity_matching,
    divergences=(),
    behavior='current',
    usable=advantages.drop_equal_groups,
    needs=frozenset({'group'}),
  )


def _dpo(*, beta: float = 100.0) -> Method:
  """Diffusion-DPO on pairs drawn once from the base; ties give no pair."""
  return Method(
    weights=transforms.best_against_worst(),
    policy_loss=policy_losses.dpo_pairs(beta),
    divergences=(),
    behavior='base',
    usable=advantages.drop_equal_groups,
    needs=frozenset({'pairs', 'shared_noise'}),
    policy_anchors=('reference',),
  )


def _flow_grpo(
  *,
  beta: float = 0.004,
  clip: float = 5.0,
  clip_range: float = 1e-4,
  zero_variance: str = 'keep',
) -> Method:
  """The clipped surrogate on solver transitions, with their KL to the base."""
  return Method(
    weights=chain(
      transforms.standardize_by_group(),
      transforms.clip_advantages(clip),
      transforms.fixed_divergence(beta),
    ),
    policy_loss=policy_losses.clipped_log_ratio(clip_range),
    divergences=(DivergenceTerm(divergences.transition_kl, 'reference'),),
    behavior='current',
    usable=advantages.usable_samples(zero_variance),
    needs=frozenset({'group', 'trajectory'}),
  )


METHODS = Table(
  adrpo=Row(
    'ADRPO',
    _adrpo,
    'Fan et al., 2025, arXiv:2510.18053',
    # By analogy with the audio ablation: on the boundary of stability.
    paper={'advantage_clip': 1.0},
  ),
  orw_cfm_w2=Row(
    'ORW-CFM-W2',
    _orw_cfm_w2,
    'Fan et al., 2025, arXiv:2502.06061',
    # The released CIFAR-10 code.
    paper={'tau': 0.5, 'alpha': 1.0, 'refresh': 100},
  ),
  fixed_w2=Row(
    'Fixed-β W2',
    _fixed_w2,
    'the fixed-coefficient baseline of Fan et al., 2025, arXiv:2510.18053',
  ),
  nft=Row(
    'DiffusionNFT',
    _nft,
    'Zheng et al., 2025, arXiv:2509.16117',
    paper={'self_normalized': True, 'reference_weight': 2e-5},
  ),
  ram=Row('RAM', _ram, 'Reinforce Adjoint Matching, 2026, arXiv:2605.10759'),
  awm=Row('AWM', _awm, 'Xue et al., 2025, arXiv:2509.25050'),
  raft=Row('RAFT', _raft, 'Dong et al., 2023, arXiv:2304.06767'),
  rwr=Row(
    'RWR',
    _rwr,
    'Peters & Schaal, 2007; for diffusion Black et al., 2023, arXiv:2305.13301',
  ),
  dpo=Row('DPO', _dpo, 'Wallace et al., 2023, arXiv:2311.12908'),
  flow_grpo=Row(
    'Flow-GRPO',
    _flow_grpo,
    'Liu et al., 2025, arXiv:2505.05470',
    paper={'zero_variance': 'drop'},
  ),
)
parameters = METHODS.parameters
make_method = METHODS.make_method


def _constant(value: float) -> Callable[[Weights], Array]:
  return lambda weights: jnp.full_like(weights.divergence, value)


def _w2(
  anchor: str, weight: Callable[[Weights], Array] = weight_of_chain
) -> DivergenceTerm:
  return DivergenceTerm(divergences.velocity_w2, anchor, weight)


def _standardized_to_one(clip: float) -> optax.GradientTransformationExtraArgs:
  """Makes A′ in [−1, 1]: standardized by group, clipped, over the clip."""
  return chain(
    transforms.standardize_by_group(),
    transforms.clip_advantages(clip),
    transforms.scale_advantages(1 / clip),
  )


def _refreshed_every(steps: int) -> optax.Schedule:
  """Returns decay 0, a fresh copy, after every `steps` steps, else decay 1."""
  if steps < 1:
    raise ValueError(f'Expected refresh of at least 1 step, got {steps}.')
  return lambda step: jnp.where((step + 1) % steps == 0, 0.0, 1.0)
