"""What the theory says about whole losses: identities between the rows."""

import jax
import jax.numpy as jnp
from made_outputs import G, P, renoised
import numpy as np
import optax
import pytest

import adrpo_jax
from adrpo_jax.method import advantages, policy_losses
from adrpo_jax.types import Weights

BETA0 = 0.7
ADVANTAGES = jnp.array(
  [[-3.0, -0.7, 0.0, 0.2], [0.7, 1.4, -0.1, 0.6], [5.0, -5.0, 0.1, 0.0]]
)


def entries(method, outputs, weights):
  """w.policy·ℓ + Σ w_k·D_k, as the training step forms it. -> [P, G, S]"""
  valid = jnp.ones(weights.policy.shape, bool)
  total = weights.policy[:, :, None] * method.policy_loss(outputs, weights)
  scales = adrpo_jax.divergence_weights(method, weights, valid)
  for term, scale in zip(method.divergences, scales, strict=True):
    anchor = outputs.anchors[term.anchor]
    total += scale[:, :, None] * term.function(outputs, anchor)
  return total


def gradient(loss, outputs):
  def at(v):
    return jnp.sum(loss(outputs._replace(velocity=v)))

  return jax.jit(jax.grad(at))(outputs.velocity)


def two_term(outputs, a=ADVANTAGES, beta0=BETA0):
  method = adrpo_jax.make_method('adrpo')
  return entries(method, outputs, Weights(a, beta0 - a))


def test_two_terms_are_one_regression():
  outputs = renoised()

  def regression(o):
    return policy_losses.target_regression(o, ADVANTAGES, BETA0)

  np.testing.assert_allclose(
    gradient(two_term, outputs), gradient(regression, outputs), atol=1e-5
  )


def test_they_differ_by_a_constant_that_velocity_does_not_enter():
  ratio = ADVANTAGES / BETA0
  for seed in (0, 1):
    outputs = renoised()
    # The same targets and anchors, another velocity each time.
    outputs = outputs._replace(velocity=renoised(seed=seed + 5).velocity)
    gap = jnp.square(outputs.target - outputs.anchors['reference'])
    constant = (ADVANTAGES * (1 - ratio))[:, :, None] * gap.mean(axis=(3, 4))
    regression = policy_losses.target_regression(outputs, ADVANTAGES, BETA0)
    np.testing.assert_allclose(
      two_term(outputs) - regression, constant, rtol=1e-4, atol=2e-5
    )


def test_the_minimizer_is_the_rescaled_step():
  outputs = renoised()
  u, ref = outputs.target, outputs.anchors['reference']
  best = ref + (ADVANTAGES / BETA0)[:, :, None, None, None] * (u - ref)
  np.testing.assert_allclose(
    policy_losses.regression_target(outputs, ADVANTAGES, BETA0),
    best,
    rtol=1e-5,
    atol=1e-5,
  )
  at_best = gradient(two_term, outputs._replace(velocity=best))
  np.testing.assert_allclose(at_best, np.zeros(best.shape), atol=1e-5)


def test_advantage_zero_is_the_pull_and_beta0_is_flow_matching():
  outputs = renoised()
  np.testing.assert_allclose(
    two_term(outputs, jnp.zeros((P, G))),
    BETA0 * adrpo_jax.velocity_w2(outputs, outputs.anchors['reference']),
    rtol=1e-6,
  )
  at_beta0 = two_term(outputs, jnp.full((P, G), BETA0))
  matching = policy_losses.velocity_matching(outputs, None)
  np.testing.assert_allclose(at_beta0, BETA0 * matching, rtol=1e-6)


def curvature(a, *, policy_factor=1.0, divergence_factor=1.0):
  """d²ℓ/dv² / 2 of a sample with advantage a, factors on either term."""

  def loss(v):
    outputs = renoised(prompts=1, groups=1)
    outputs = outputs._replace(velocity=outputs.velocity + v)
    policy = policy_losses.velocity_matching(outputs, None)
    w2 = adrpo_jax.velocity_w2(outputs, outputs.anchors['reference'])
    return jnp.mean(
      policy_factor * a * policy + divergence_factor * (BETA0 - a) * w2
    )

  return jax.jit(jax.grad(jax.grad(loss)))(0.0) / 2


def test_one_normalization_keeps_every_advantage_convex():
  for a in (-20.0, -BETA0, 0.0, BETA0, 20.0):
    np.testing.assert_allclose(curvature(a), BETA0, rtol=1e-4)


def test_two_normalizations_do_not():
  # Curvature bβ₀ + (a − b)A: with a = 2, b = 1 it vanishes at A = −β₀.
  def mismatched(a):
    return curvature(a, policy_factor=2.0)

  np.testing.assert_allclose(mismatched(-BETA0), 0.0, atol=1e-5)
  assert mismatched(-1.1 * BETA0) < -0.05
  assert mismatched(-0.9 * BETA0) > 0.05


def test_a_fixed_coefficient_loses_its_minimum_below_minus_beta():
  method = adrpo_jax.make_method('fixed_w2')

  def loss(v, a):
    outputs = renoised(prompts=1, groups=1)
    outputs = outputs._replace(velocity=outputs.velocity + v)
    weights = Weights(jnp.full((1, 1), a), jnp.full((1, 1), BETA0))
    return jnp.mean(entries(method, outputs, weights))

  second = jax.grad(jax.grad(loss))
  np.testing.assert_allclose(second(0.0, -2.0) / 2, BETA0 - 2, rtol=1e-4)


def test_nft_is_adrpo_with_the_old_policy_as_reference():
  outputs = renoised()
  nft = adrpo_jax.make_method('nft', beta=BETA0, reference_weight=0.0)
  swapped = renoised(anchors={'reference': outputs.anchors['old']})
  weights = Weights(ADVANTAGES, BETA0 - ADVANTAGES)
  np.testing.assert_array_equal(
    entries(nft, outputs, weights), two_term(swapped)
  )


def test_nft_without_its_weight_is_the_published_bracket():
  outputs = renoised()
  old, u, a = outputs.anchors['old'], outputs.target, 0.4
  share = (1 + a) / 2

  def published(o):
    v = o.velocity
    plus = BETA0 * v + (1 - BETA0) * old - u
    minus = (1 + BETA0) * old - BETA0 * v - u
    bracket = share / BETA0 * plus**2 + (1 - share) / BETA0 * minus**2
    return jnp.mean(bracket, axis=(3, 4))

  nft = adrpo_jax.make_method('nft', beta=BETA0, reference_weight=0.0)
  weights = Weights(jnp.full((P, G), a), jnp.full((P, G), BETA0 - a))

  def own(o):
    return entries(nft, o, weights)

  np.testing.assert_allclose(
    gradient(own, outputs), gradient(published, outputs), atol=1e-6
  )
  constant = (1 / BETA0 - a) * jnp.mean((old - u) ** 2, axis=(3, 4))
  np.testing.assert_allclose(
    published(outputs), own(outputs) + constant, rtol=1e-5
  )


def test_self_normalized_nft_pulls_as_far_as_its_own_fixed_point():
  # A′ = 0 leaves two equal pulls on either side: v_old is stationary.
  outputs = renoised()
  outputs = outputs._replace(velocity=outputs.anchors['old'])
  nft = adrpo_jax.make_method('nft', 'paper', reference_weight=0.0)
  weights = Weights(jnp.zeros((P, G)), jnp.ones((P, G)))
  still = gradient(lambda o: entries(nft, o, weights), outputs)
  np.testing.assert_allclose(still, np.zeros(still.shape), atol=1e-6)
  drawn = gradient(
    lambda o: entries(nft, o, weights._replace(policy=jnp.ones((P, G)))),
    outputs,
  )
  downhill = jnp.sum(drawn * (outputs.target - outputs.velocity))
  assert downhill < -1.0


FIXED = Weights(ADVANTAGES, jnp.full((P, G), BETA0))


def test_ram_with_the_current_residual_is_fixed_w2():
  outputs = renoised()
  fixed = adrpo_jax.make_method('fixed_w2')
  ram = adrpo_jax.make_method('ram')._replace(
    policy_loss=policy_losses.residual_matching('current')
  )
  np.testing.assert_allclose(
    entries(ram, outputs, FIXED), entries(fixed, outputs, FIXED), rtol=1e-6
  )
  np.testing.assert_allclose(
    gradient(lambda o: entries(ram, o, FIXED), outputs),
    gradient(lambda o: entries(fixed, o, FIXED), outputs),
    atol=1e-6,
  )


def test_ram_is_the_regression_with_the_old_residual():
  outputs = renoised()
  ram = adrpo_jax.make_method('ram')

  def regression(o):
    return policy_losses.target_regression(
      o, ADVANTAGES, BETA0, anchor='reference', residual='old'
    )

  np.testing.assert_allclose(
    gradient(lambda o: entries(ram, o, FIXED), outputs),
    gradient(regression, outputs),
    atol=1e-5,
  )


def updated_velocities(method, updates):
  """SGD on one rollout: 'old' is its policy, 'velocity' what is trained."""
  outputs = renoised()
  start = outputs.velocity
  outputs.anchors['old'] = start
  weights = FIXED._replace(policy=ADVANTAGES / 5)
  for _ in range(updates):
    step = gradient(lambda o: entries(method, o, weights), outputs)
    outputs = outputs._replace(velocity=outputs.velocity - 0.3 * step)
  return outputs.velocity


@pytest.mark.parametrize('name', ['ram', 'awm'])
def test_ram_and_awm_leave_fixed_w2_at_the_second_update(name):
  # AWM without its EMA term.
  overrides = {'ema_weight': 0.0} if name == 'awm' else {}
  method = adrpo_jax.make_method(name, **overrides)
  fixed = adrpo_jax.make_method('fixed_w2')
  np.testing.assert_allclose(
    updated_velocities(method, 1), updated_velocities(fixed, 1), atol=1e-6
  )
  gap = updated_velocities(method, 2) - updated_velocities(fixed, 2)
  assert jnp.max(jnp.abs(gap)) > 1e-3


def test_weights_of_a_chain_go_into_any_optimizer():
  """A masked optimizer on the loss: only the unmasked leaf learns."""
  outputs = renoised()
  rewards = jax.random.uniform(jax.random.key(3), (P, G))
  valid = advantages.drop_equal_groups(rewards, jnp.ones((P, G), bool))
  transform = adrpo_jax.adrpo(0.3)
  state = transform.init(Weights(rewards, rewards))
  weights, _ = adrpo_jax.weigh(transform, rewards, valid, state, step=0)
  params = {'adapter': jnp.zeros(()), 'base': jnp.ones(())}

  def loss(params):
    velocity = params['base'] * outputs.anchors['reference']
    velocity += params['adapter'] * (outputs.target - velocity)
    made = outputs._replace(velocity=velocity)
    return jnp.mean(entries(adrpo_jax.make_method('adrpo'), made, weights))

  def frozen(p):
    return jax.tree.map_with_path(lambda k, _: 'base' in str(k), p)

  optimizer = optax.chain(
    optax.masked(optax.set_to_zero(), frozen), optax.adam(1e-2)
  )
  gradients = jax.grad(loss)(params)
  updates, _ = optimizer.update(gradients, optimizer.init(params), params)
  assert abs(updates['adapter']) > 1e-3
  assert updates['base'] == 0
