"""Loss transforms, which turn rewards into the two loss weights of a sample.

A transform is an `optax.GradientTransformationExtraArgs` over `Weights`, and
transforms are composed by `optax.chain`: loss weights flow through a chain as
gradients flow through an optimizer.

  init(weights) -> state
  update(weights, state, params=None, *, rewards, valid, step, **extras)
      -> (weights, state)

`weigh` gives the first transform Weights(policy=rewards, divergence=0). All are
pure, jittable and of static shape, and give an invalid sample the weights
(0, 0). A ScalarOrSchedule is a number or a function of `step`, as in optax.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import optax
from optax import ScalarOrSchedule

from adrpo_jax.method import advantages
from adrpo_jax.method.guards import check_positive, warn_if_unstable
from adrpo_jax.types import Array, Weights

Transform: TypeAlias = optax.GradientTransformationExtraArgs

chain = optax.chain


def weigh(
  transform: Transform,
  rewards: Array,
  valid: Array,
  state: optax.OptState,
  *,
  step: int | Array,
  **extras,
) -> tuple[Weights, optax.OptState]:
  """Returns the weights of a batch: rewards, valid [P, G] -> Weights, state.

  Raises:
    ValueError: rewards are not [P, G], or valid has another shape.

  Example:
    >>> rewards = jnp.array([[1.0, 0.75, 0.25, 0.0]])
    >>> valid = jnp.ones_like(rewards, bool)
    >>> weigher = adrpo(beta0=1.0)
    >>> weights, state = weigh(
    ...   weigher, rewards, valid, weigher.init(None), step=0
    ... )
    >>> weights.policy
    Array([[ 0.5 ,  0.25, -0.25, -0.5 ]], dtype=float32)
    >>> weights.divergence
    Array([[0.5 , 0.75, 1.25, 1.5 ]], dtype=float32)
  """
  if rewards.ndim != 2 or rewards.shape != valid.shape:
    raise ValueError(
      'Expected rewards and valid of one shape [prompts, samples per prompt], '
      f'got {rewards.shape} and {valid.shape}. Reshape them to [P, G].'
    )
  start = starting_weights(rewards, valid)
  return transform.update(
    start, state, rewards=rewards, valid=valid, step=step, **extras
  )


def starting_weights(rewards: Array, valid: Array) -> Weights:
  """Returns Weights(rewards, 0), the input of a chain. [P, G] each."""
  policy = jnp.where(valid, rewards, 0.0).astype(jnp.float32)
  return Weights(policy, jnp.zeros_like(policy))


def center_by_group() -> Transform:
  """Sets w_policy <- w − mean of the prompt: `advantages.centered_by_group`."""
  return _policy(lambda w, valid, step: advantages.centered_by_group(w, valid))


def standardize_by_group(eps: float = 1e-4, ddof: int = 0) -> Transform:
  """Sets w_policy <- (w − mean) / (std + ε) of the prompt, as in GRPO."""
  return _policy(
    lambda w, valid, step: advantages.standardized_by_group(
      w, valid, eps=eps, ddof=ddof
    )
  )


def standardize_by_batch(eps: float = 1e-4) -> Transform:
  """Sets w_policy <- (w − mean of the prompt) / (std of the batch + ε)."""
  return _policy(
    lambda w, valid, step: advantages.standardized_by_batch(w, valid, eps=eps)
  )


def leave_one_out() -> Transform:
  """Sets w_policy <- w − mean of the prompt's other samples, as in RLOO."""
  return _policy(lambda w, valid, step: advantages.leave_one_out(w, valid))


def best_of_group() -> Transform:
  """Sets w_policy <- 1 at the best sample of the prompt, else 0, as in RAFT."""
  return _policy(lambda w, valid, step: advantages.best_of_group(w, valid))


def best_against_worst() -> Transform:
  """Sets w_policy <- +1 at the best, −1 at the worst of the prompt, else 0."""
  return _policy(lambda w, valid, step: advantages.best_against_worst(w, valid))


def softmax_of_group(temperature: ScalarOrSchedule) -> Transform:
  """Sets w_policy <- softmax(w / T) over the prompt, as in RWR."""
  check_positive('temperature', temperature)
  return _policy(
    lambda w, valid, step: advantages.softmax_of_group(
      w, valid, temperature=_value(temperature, step)
    )
  )


def clip_advantages(clip: ScalarOrSchedule) -> Transform:
  """Sets w_policy <- clip(w, −c, c), which also bounds what comes after it."""
  check_positive('clip', clip)
  return _policy(lambda w, valid, step: _clipped(w, clip, step))


def scale_advantages(factor: ScalarOrSchedule) -> Transform:
  """Sets w_policy <- c·w."""
  return _policy(lambda w, valid, step: _value(factor, step) * w)


def exponentiate(tau: ScalarOrSchedule) -> Transform:
  """w_policy <- exp(τ·w), the reward weight of ORW-CFM-W2.

  It is never negative: a poor sample gets a small weight. Fan et al.,
  2025, arXiv:2502.06061.
  """
  return _policy(lambda w, valid, step: jnp.exp(_value(tau, step) * w))


def fixed_divergence(weight: ScalarOrSchedule) -> Transform:
  """Sets w_divergence <- β, the same for every sample."""
  return _divergence(lambda w, step: _value(weight, step) * jnp.ones_like(w))


def adaptive_divergence(
  beta0: ScalarOrSchedule,
  scale: ScalarOrSchedule = 1.0,
  clip: ScalarOrSchedule | None = None,
) -> Transform:
  """Sets w_divergence <- β₀ − λ·clip(A), the coefficient of ADRPO.

  A = w_policy, λ = `scale`. A good sample is held less to the reference, a poor
  one more; above A = β₀/λ the weight is negative. `clip` bounds A only in this
  coefficient, as language models need. `clip_advantages` before it bounds both
  weights, as flow losses need. Fan et al., 2025, arXiv:2510.18053.

  Example:
    >>> weigher = chain(
    ...   standardize_by_group(), adaptive_divergence(beta0=0.5, clip=0.25)
    ... )
    >>> rewards = jnp.array([[1.0, 0.0], [3.0, 3.0]])
    >>> valid = jnp.ones_like(rewards, bool)
    >>> weights, _ = weigh(weigher, rewards, valid, weigher.init(None), step=0)
    >>> weights.divergence
    Array([[0.25, 0.75],
           [0.5 , 0.5 ]], dtype=float32)
  """

  def coefficient(advantage: Array, step: Array) -> Array:
    if clip is not None:
      advantage = _clipped(advantage, clip, step)
    return _value(beta0, step) - _value(scale, step) * advantage

  return _divergence(coefficient)


class RunningState(NamedTuple):
  """Running moments of the reward, and the weight of their data, 0 to 1."""

  mean: Array  # []
  variance: Array  # []
  weight: Array  # []


def standardize_running(decay: float, eps: float = 1e-4) -> Transform:
  """w_policy <- (w − m) / (s + ε), with running mean m and deviation s.

  The moments are exponential averages over the steps, this batch included and
  corrected for start-up bias. A batch without a valid sample does not change
  them. There is no baseline per prompt: it is for weights that only need a
  common scale, such as those of ORW-CFM-W2.
  """

  def init(weights: Weights) -> RunningState:
    del weights
    return RunningState(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

  def update(weights, state, params=None, *, valid, **extras):
    del params, extras
    state = _running(state, weights.policy, valid, decay)
    scaled = (weights.policy - state.mean) / (jnp.sqrt(state.variance) + eps)
    return weights._replace(policy=jnp.where(valid, scaled, 0.0)), state

  return Transform(init, update)


def adrpo(
  beta0: ScalarOrSchedule,
  clip: ScalarOrSchedule | None = None,
  *,
  policy_clip: ScalarOrSchedule | None = None,
  allow_unstable: bool = False,
) -> Transform:
  """Returns ADRPO for flow matching: (A, β₀ − A) with A = clip(r − mean).

  ℓ = A⟨(v − u)²⟩ + (β₀ − A)⟨(v − v_ref)²⟩
    = β₀⟨(v − [v_ref + (A/β₀)(u − v_ref)])²⟩ + a constant

  The minimizer depends only on A/β₀: β₀ is in units of the reward, and the
  spread of rewards within a prompt is a good first value. `clip` is 0.9·β₀
  unless given. Fan et al., 2025, arXiv:2510.18053.

  With a wider `policy_clip`, `clip` bounds only the coefficient, as the clip of
  the paper for language models does: (clip(r − mean, ±policy_clip), β₀ − A).
  Where `clip` is active the second form does not hold: the loss has v − u in
  place of v_ref − u, as `fixed_w2` has, and below r − mean = −β₀ − clip the
  loss of a sample has no minimum.

  Raises:
    ValueError: beta0 or a clip is not positive.

  Warns:
    UserWarning: the clip is not below β₀; `allow_unstable` silences it.
  """
  check_positive('beta0', beta0)
  if clip is None:
    clip = _scaled(beta0, 0.9)
  warn_if_unstable(beta0, clip, allow_unstable=allow_unstable)
  return chain(
    center_by_group(),
    clip_advantages(clip if policy_clip is None else policy_clip),
    adaptive_divergence(beta0, clip=clip),
  )


def orw_cfm_w2(tau: ScalarOrSchedule, alpha: ScalarOrSchedule) -> Transform:
  """Returns ORW-CFM-W2: (exp(τ r), α). Fan et al., 2025, arXiv:2502.06061."""
  return chain(exponentiate(tau), fixed_divergence(alpha))


def fixed_w2(
  beta: ScalarOrSchedule, clip: ScalarOrSchedule | None = None
) -> Transform:
  """Returns the weights (A, β), the fixed coefficient that ADRPO replaces.

  Its curvature in v is A + β, so the loss of a sample has no minimum where
  A < −β. `clip` is 0.9·β unless given.
  """
  check_positive('beta', beta)
  if clip is None:
    clip = _scaled(beta, 0.9)
  return chain(center_by_group(), clip_advantages(clip), fixed_divergence(beta))


def _policy(function: Callable[[Array, Array, Array], Array]) -> Transform:
  """Makes a stateless transform of w_policy from (w, valid, step) -> w."""

  def update(weights, state, params=None, *, valid, step, **extras):
    del params, extras
    policy = function(weights.policy, valid, step)
    return weights._replace(policy=jnp.where(valid, policy, 0.0)), state

  return Transform(lambda weights: optax.EmptyState(), update)


def _divergence(function: Callable[[Array, Array], Array]) -> Transform:
  """Makes a stateless transform of w_divergence from (w_policy, step) -> w."""

  def update(weights, state, params=None, *, valid, step, **extras):
    del params, extras
    divergence = function(weights.policy, step)
    return weights._replace(divergence=jnp.where(valid, divergence, 0.0)), state

  return Transform(lambda weights: optax.EmptyState(), update)


def _running(
  state: RunningState, values: Array, valid: Array, decay: float
) -> RunningState:
  count = jnp.sum(valid)
  mean = jnp.sum(jnp.where(valid, values, 0.0)) / jnp.maximum(count, 1)
  squares = jnp.where(valid, (values - mean) ** 2, 0.0)
  variance = jnp.sum(squares) / jnp.maximum(count, 1)
  weight = decay * state.weight + (1 - decay)
  share = (1 - decay) / weight  # of this batch in the moments
  center = state.mean + share * (mean - state.mean)
  old = state.variance + (state.mean - center) ** 2
  new = variance + (mean - center) ** 2
  new_state = RunningState(center, (1 - share) * old + share * new, weight)
  return RunningState(
    *(jnp.where(count > 0, b, a) for a, b in zip(state, new_state, strict=True))
  )


def _value(value: ScalarOrSchedule, step: int | Array) -> float | Array:
  return value(step) if callable(value) else value


def _clipped(values: Array, clip: ScalarOrSchedule, step: Array) -> Array:
  limit = _value(clip, step)
  return jnp.clip(values, -limit, limit)


def _scaled(value: ScalarOrSchedule, factor: float) -> ScalarOrSchedule:
  if callable(value):
    return lambda step: factor * value(step)
  return factor * value
