"""Transforms: numbers by hand, optax's composition, the guard of the clip."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adrpo_jax
from adrpo_jax.method import transforms

REWARDS = jnp.array([[0.0, 0.5, 1.0, 9.0], [0.25, 0.25, 0.25, 0.25]])
VALID = jnp.array([[True, True, True, False], [True, True, True, True]])


def apply(transform, rewards=REWARDS, valid=VALID, step=0):
  template = transforms.starting_weights(jnp.zeros_like(rewards), valid)
  state = transform.init(template)
  return transforms.weigh(transform, rewards, valid, state, step=step)[0]


@pytest.mark.parametrize(
  ('transform', 'expected'),
  [
    (transforms.center_by_group(), [-0.5, 0, 0.5, 0]),
    (transforms.standardize_by_group(0.0), [-(1.5**0.5), 0, 1.5**0.5, 0]),
    (transforms.leave_one_out(), [-0.75, 0, 0.75, 0]),
    (transforms.clip_advantages(0.75), [0, 0.5, 0.75, 0]),
    (transforms.scale_advantages(3.0), [0, 1.5, 3, 0]),
    (transforms.exponentiate(2.0), [1, np.e, np.e**2, 0]),
    (transforms.best_of_group(), [0, 0, 1, 0]),
    (transforms.best_against_worst(), [-1, 0, 1, 0]),
    (
      transforms.softmax_of_group(0.5),
      [*(np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()), 0],
    ),
  ],
)
def test_policy_weights_by_hand(transform, expected):
  weights = apply(transform)
  np.testing.assert_allclose(weights.policy[0], expected, rtol=1e-6)
  np.testing.assert_array_equal(weights.divergence, np.zeros((2, 4)))


def test_standardize_by_batch_by_hand():
  weights = apply(transforms.standardize_by_batch(0.0))
  seen = np.array([0, 0.5, 1, 0.25, 0.25, 0.25, 0.25])
  expected = np.array([-0.5, 0, 0.5, 0]) / seen.std()
  np.testing.assert_allclose(weights.policy[0], expected, rtol=1e-6)
  np.testing.assert_array_equal(weights.policy[1], np.zeros(4))


def test_divergence_weights_by_hand():
  fixed = apply(transforms.fixed_divergence(0.4))
  np.testing.assert_allclose(fixed.divergence[0], [0.4, 0.4, 0.4, 0])
  np.testing.assert_allclose(fixed.policy[0], [0, 0.5, 1, 0])
  adaptive = apply(transforms.adaptive_divergence(0.4))
  np.testing.assert_allclose(adaptive.divergence[0], [0.4, -0.1, -0.6, 0])
  scaled = apply(transforms.adaptive_divergence(0.4, scale=0.5, clip=0.6))
  np.testing.assert_allclose(
    scaled.divergence[0], [0.4, 0.15, 0.1, 0], rtol=1e-6
  )
  np.testing.assert_allclose(scaled.policy[0], [0, 0.5, 1, 0])


def test_adrpo_by_hand():
  weights = apply(adrpo_jax.adrpo(beta0=0.5, clip=0.3))
  np.testing.assert_allclose(weights.policy[0], [-0.3, 0, 0.3, 0], rtol=1e-6)
  np.testing.assert_allclose(
    weights.divergence[0], [0.8, 0.5, 0.2, 0], rtol=1e-6
  )
  # A prompt whose samples are all alike is pulled to the reference.
  np.testing.assert_array_equal(weights.policy[1], np.zeros(4))
  np.testing.assert_array_equal(weights.divergence[1], np.full(4, 0.5))


def test_adrpo_with_a_clip_for_the_policy_alone():
  weights = apply(adrpo_jax.adrpo(beta0=0.5, clip=0.3, policy_clip=0.4))
  np.testing.assert_allclose(weights.policy[0], [-0.4, 0, 0.4, 0], rtol=1e-6)
  np.testing.assert_allclose(
    weights.divergence[0], [0.8, 0.5, 0.2, 0], rtol=1e-6
  )


def test_orw_and_fixed_w2_by_hand():
  orw = apply(adrpo_jax.orw_cfm_w2(tau=1.0, alpha=0.4))
  np.testing.assert_allclose(
    orw.policy[0], [1, np.exp(0.5), np.e, 0], rtol=1e-6
  )
  np.testing.assert_allclose(orw.divergence[0], [0.4, 0.4, 0.4, 0])
  fixed = apply(adrpo_jax.fixed_w2(beta=0.5))
  np.testing.assert_allclose(fixed.policy[0], [-0.45, 0, 0.45, 0], rtol=1e-6)
  np.testing.assert_allclose(fixed.divergence[0], [0.5, 0.5, 0.5, 0])


def test_changing_beta0_alone_moves_the_clip():
  for beta0 in (0.1, 0.2):
    weights = apply(adrpo_jax.adrpo(beta0))
    np.testing.assert_allclose(weights.policy.max(), 0.9 * beta0, rtol=1e-6)


def test_standardize_running_is_an_average_over_steps():
  transform = transforms.standardize_running(decay=0.5, eps=0.0)
  valid = jnp.ones((1, 2), bool)
  state = transform.init(transforms.starting_weights(jnp.zeros((1, 2)), valid))
  first = jnp.array([[0.0, 2.0]])  # mean 1, variance 1
  weights, state = transforms.weigh(transform, first, valid, state, step=0)
  np.testing.assert_allclose(weights.policy, [[-1, 1]], rtol=1e-6)
  second = jnp.array([[4.0, 8.0]])  # mean 6, variance 4
  weights, state = transforms.weigh(transform, second, valid, state, step=1)
  # Shares 1/3 and 2/3: mean 13/3, second moment (2 + 2·40) / 3.
  mean, variance = 13 / 3, 82 / 3 - (13 / 3) ** 2
  np.testing.assert_allclose(state.mean, mean, rtol=1e-6)
  np.testing.assert_allclose(state.variance, variance, rtol=1e-5)
  expected = (np.array([[4, 8]]) - mean) / variance**0.5
  np.testing.assert_allclose(weights.policy, expected, rtol=1e-5)
  _, after = transforms.weigh(transform, second, ~valid, state, step=2)
  np.testing.assert_array_equal(after, state)


def test_chain_is_that_of_optax():
  assert adrpo_jax.chain is optax.chain
  own = transforms.chain(
    transforms.center_by_group(),
    optax.scale(2.0),  # a stock transformation scales both weights
    transforms.adaptive_divergence(0.5),
  )
  weights = apply(own)
  np.testing.assert_allclose(weights.policy[0], [-1, 0, 1, 0], rtol=1e-6)
  np.testing.assert_allclose(weights.divergence[0], [1.5, 0.5, -0.5, 0])


def test_schedules_are_functions_of_the_step():
  beta0 = optax.linear_schedule(1.0, 0.5, 10)
  transform = adrpo_jax.adrpo(beta0)
  for step, beta in ((0, 1.0), (5, 0.75), (10, 0.5)):
    weights = jax.jit(lambda step: apply(transform, step=step))(step)
    np.testing.assert_allclose(weights.divergence[1], np.full(4, beta))
    clip = min(0.5, 0.9 * beta)
    np.testing.assert_allclose(weights.policy.max(), clip, rtol=1e-6)


def test_inject_hyperparams_and_its_schedules():
  inject = optax.inject_hyperparams(transforms.adaptive_divergence)
  transform = transforms.chain(
    transforms.center_by_group(),
    inject(beta0=lambda count: 0.5 + count, scale=1.0),
  )
  state = transform.init(transforms.starting_weights(REWARDS, VALID))
  for beta in (0.5, 1.5):
    weights, state = transforms.weigh(transform, REWARDS, VALID, state, step=0)
    np.testing.assert_allclose(weights.divergence[1], np.full(4, beta))
  hyperparams = state[1].hyperparams
  hyperparams['scale'] = jnp.asarray(0.0)  # as one sets a learning rate
  weights, _ = transforms.weigh(transform, REWARDS, VALID, state, step=0)
  np.testing.assert_allclose(weights.divergence[0], [2.5, 2.5, 2.5, 0])


def test_presets_can_be_injected_too():
  transform = optax.inject_hyperparams(adrpo_jax.adrpo)(beta0=0.5, clip=0.25)
  weights = apply(transform)
  np.testing.assert_allclose(weights.policy[0], [-0.25, 0, 0.25, 0])


def test_extra_arguments_pass_through():
  transform = adrpo_jax.adrpo(0.5)
  state = transform.init(transforms.starting_weights(REWARDS, VALID))
  transforms.weigh(
    transform, REWARDS, VALID, state, step=0, prompt_ids=jnp.arange(2)
  )


def test_misshapen_rewards_are_refused():
  transform = adrpo_jax.adrpo(0.5)
  with pytest.raises(ValueError, match=r'got \(8,\) and \(2, 4\)'):
    transforms.weigh(transform, REWARDS.reshape(-1), VALID, (), step=0)


@pytest.mark.parametrize(
  ('clip', 'word'),
  [
    (0.5, 'exactly'),
    (0.6, 'above'),
    (optax.constant_schedule(0.6), 'above'),
    (optax.linear_schedule(0.1, 0.6, 500), 'above'),
  ],
)
def test_a_clip_that_reaches_beta0_warns_with_the_reason(clip, word):
  text = rf'is {word} beta0 = 0\.5(.|\n)*no stable fixed point'
  text += r' where E\[A\|x\] >= beta0(.|\n)*allow_unstable=True'
  with pytest.warns(UserWarning, match=text):
    adrpo_jax.adrpo(0.5, clip)


def test_what_does_not_warn():
  decaying = optax.linear_schedule(0.5, 0.0, 100)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    adrpo_jax.adrpo(0.5)
    adrpo_jax.adrpo(0.5, 0.49)
    adrpo_jax.adrpo(decaying)
    adrpo_jax.adrpo(0.5, 0.6, allow_unstable=True)


def test_numbers_that_make_no_sense_are_refused():
  for build in (
    lambda: adrpo_jax.adrpo(0.0),
    lambda: adrpo_jax.fixed_w2(-1.0),
    lambda: transforms.clip_advantages(0.0),
    lambda: transforms.softmax_of_group(0),
  ):
    with pytest.raises(ValueError, match='above 0'):
      build()
