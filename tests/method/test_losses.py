"""Policy losses and divergences: numbers by hand."""

import jax
import jax.numpy as jnp
from made_outputs import renoised, trajectory
import numpy as np
import pytest

from adrpo_jax.method import divergences, policy_losses
from adrpo_jax.types import Renoised, Trajectory, Weights


def scalars(velocity, target, *, sigma=1.0, **anchors) -> Renoised:
  """Lists [P][G] as outputs with one noise draw and one latent element."""

  def shaped(values):
    return jnp.asarray(values, jnp.float32)[:, :, None, None]

  target = shaped(target)
  return Renoised(
    x0=jnp.zeros_like(target),
    sigma=jnp.full(target.shape[:3], sigma),
    x_sigma=jnp.zeros_like(target),
    target=target,
    velocity=shaped(velocity),
    anchors={name: shaped(values) for name, values in anchors.items()},
  )


def signs(policy) -> Weights:
  policy = jnp.asarray(policy, jnp.float32)
  return Weights(policy, jnp.zeros_like(policy))


def test_squares_are_means_over_latent_axes():
  a = jnp.arange(12.0).reshape(1, 1, 2, 2, 3)
  got = divergences.mean_square(a, jnp.zeros_like(a))
  expected = [[[55 / 6, (36 + 49 + 64 + 81 + 100 + 121) / 6]]]
  np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_velocity_matching_and_w2_by_hand():
  outputs = scalars([[3.0, -1.0]], [[1.0, 1.0]], reference=[[2.0, 2.0]])
  policy = policy_losses.velocity_matching(outputs, signs([[1, 1]]))
  np.testing.assert_allclose(policy, [[[4], [4]]])
  w2 = divergences.velocity_w2(outputs, outputs.anchors['reference'])
  np.testing.assert_allclose(w2, [[[1], [9]]])


def test_half_precision_is_squared_in_float32():
  outputs = scalars([[300.0]], [[0.0]])
  half = outputs._replace(velocity=outputs.velocity.astype(jnp.float16))
  got = policy_losses.velocity_matching(half, signs([[1]]))
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, [[[90000.0]]])


def test_residual_matching_by_hand():
  outputs = scalars([[3.0]], [[1.0]], old=[[2.0]])
  loss = policy_losses.residual_matching('old')
  # (2 − 1)² + 2·(2 − 1)·(3 − 2)
  np.testing.assert_allclose(loss(outputs, signs([[1]])), [[[3]]])


def test_transition_kl_by_hand():
  outputs = Trajectory(
    log_prob=jnp.zeros((1, 1, 1)),
    log_prob_old=jnp.zeros((1, 1, 1)),
    mean=jnp.array([1.0, 4.0]).reshape(1, 1, 1, 2),
    std=jnp.full((1, 1, 1), 0.5),
    anchors={},
  )
  got = divergences.transition_kl(outputs, jnp.ones((1, 1, 1, 2)))
  np.testing.assert_allclose(got, [[[9 / 2 / 0.5]]])


@pytest.mark.parametrize(
  ('advantage', 'ratio', 'value', 'slope'),
  [
    (1.0, 1.0, -1.0, -1.0),
    (1.0, 1.5, -1.2, 0.0),  # good enough already: no further push
    (1.0, 0.5, -0.5, -0.5),
    (-1.0, 1.5, -1.5, -1.5),  # worse than it was: pushed back in full
    (-1.0, 0.5, -0.8, 0.0),
    (-1.0, 1.0, -1.0, -1.0),
  ],
)
def test_clipped_log_ratio_by_hand(advantage, ratio, value, slope):
  loss = policy_losses.clipped_log_ratio(0.2)

  def entry(log_ratio):
    outputs = trajectory(prompts=1, groups=1)._replace(
      log_prob=log_ratio, log_prob_old=jnp.zeros_like(log_ratio)
    )
    return loss(outputs, signs([[advantage]]))

  at = jnp.full((1, 1, 2), jnp.log(ratio))
  np.testing.assert_allclose(entry(at), np.full((1, 1, 2), value), rtol=1e-6)
  gradient = jax.grad(lambda x: entry(x).sum())(at)
  np.testing.assert_allclose(gradient, np.full((1, 1, 2), slope), rtol=1e-6)
  # The loss as published: max(−Aρ, −A·clip(ρ)).
  published = max(-advantage * ratio, -advantage * np.clip(ratio, 0.8, 1.2))
  np.testing.assert_allclose(advantage * entry(at)[0, 0, 0], published)


def test_clipped_elbo_by_hand():
  outputs = scalars([[0.5, 0.5]], [[0.0, 0.0]], old=[[1.0, 1.0]])
  got = policy_losses.clipped_elbo(1.0)(outputs, signs([[1, -1]]))
  # ρ = exp(1 − 0.25) = 2.117: clipped at 2 for the good sample only.
  np.testing.assert_allclose(got, [[[-2.0], [-np.exp(0.75)]]], rtol=1e-6)


def test_dpo_by_hand():
  # Winner: e = 1, e_ref = 4. Loser: e = 9, e_ref = 4. Gap −8, z = ½·0.2·8.
  outputs = scalars([[1.0, 3.0]], [[0.0, 0.0]], reference=[[2.0, 2.0]])
  weights = signs([[1, -1]])
  entries = policy_losses.dpo_pairs(0.2)(outputs, weights)
  expected = np.log1p(np.exp(-0.8))
  weighted = weights.policy[:, :, None] * entries
  np.testing.assert_allclose(weighted.mean(), expected, rtol=1e-6)
  swapped = signs([[-1, 1]])
  weighted = swapped.policy[:, :, None] * policy_losses.dpo_pairs(0.2)(
    outputs, swapped
  )
  np.testing.assert_allclose(weighted.mean(), np.log1p(np.exp(0.8)), rtol=1e-6)


def test_dpo_pulls_the_winner_pushes_the_loser_and_skips_ties():
  weights = signs([[1, -1], [0, 0]])

  def total(velocity):
    outputs = scalars(
      [[1.0, 1.0]] * 2, [[0.0, 0.0]] * 2, reference=[[1.0, 1.0]] * 2
    )._replace(velocity=velocity)
    entries = policy_losses.dpo_pairs(2.0)(outputs, weights)
    return jnp.sum(weights.policy[:, :, None] * entries)

  gradient = jax.grad(total)(jnp.ones((2, 2, 1, 1)))[..., 0, 0]
  # Two entries a pair: dL/dv = ½β·σ(0)·2v = 1 each, with opposite signs.
  np.testing.assert_allclose(gradient, [[2, -2], [0, 0]], rtol=1e-6)


def test_implicit_pair_by_hand():
  outputs = scalars([[3.0]], [[1.0]], sigma=0.5, old=[[2.0]])
  positive, negative = divergences.implicit_pair(
    outputs, outputs.anchors['old'], beta=0.5
  )
  # v⁺ = 2.5, v⁻ = 1.5: errors 0.5·1.5 and 0.5·0.5, each over its own size.
  np.testing.assert_allclose(positive, [[[0.75 / 0.5]]], rtol=1e-6)
  np.testing.assert_allclose(negative, [[[0.25 / 0.5]]], rtol=1e-6)


@pytest.mark.parametrize('advantage', [-1.0, -0.3, 0.0, 0.8])
def test_the_split_pair_is_the_published_sum(advantage):
  outputs, beta = renoised(), 0.7
  old, share = outputs.anchors['old'], (1 + advantage) / 2

  def published(velocity):
    def x0_error(v):
      return (outputs.x_sigma - outputs.sigma[..., None, None] * v) - outputs.x0

    total = 0.0
    for weight, v in (
      (share, beta * velocity + (1 - beta) * old),
      (1 - share, (1 + beta) * old - beta * velocity),
    ):
      error = x0_error(v)
      size = jnp.mean(jnp.abs(error), axis=(3, 4), keepdims=True)
      total += weight / beta * error**2 / jax.lax.stop_gradient(size)
    return jnp.mean(total, axis=(3, 4))

  def split(velocity):
    made = outputs._replace(velocity=velocity)
    difference = policy_losses.implicit_pair_difference(beta)
    mean = divergences.implicit_pair_mean(made, old, beta=beta)
    return advantage * difference(made, signs(jnp.zeros((3, 4)))) + mean

  v = outputs.velocity
  np.testing.assert_allclose(split(v), published(v), rtol=2e-5)
  got = jax.grad(lambda v: split(v).sum())(v)
  expected = jax.grad(lambda v: published(v).sum())(v)
  np.testing.assert_allclose(got, expected, atol=2e-6)
