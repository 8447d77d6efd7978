"""The table of language methods: effective advantages, guards, refusals."""

import jax
import jax.numpy as jnp
import made_tokens
import numpy as np
import pytest

from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.method.record import divergence_weights
from adrpo_jax.method.transforms import weigh
from adrpo_jax.types import Weights

make_method = LANGUAGE_METHODS.make_method


def effective_advantage(method, advantage, x):
  """−dL/dlog π of one token on policy, with the weights (A, β₀ − A)."""
  made = made_tokens.one(x)
  given = jnp.full((1, 1), advantage)
  weights = jax.tree.map(lambda leaf: leaf, Weights(given, 0.04 - given))

  def total(own):
    outputs = made._replace(log_prob=own)
    loss = weights.policy[..., None] * method.policy_loss(outputs, weights)
    for term in method.divergences:
      weight = term.weight(weights)[..., None]
      loss += weight * term.entries(outputs, weights)
    return loss.sum()

  return -float(jax.grad(total)(made.log_prob)[0, 0, 0])


@pytest.mark.parametrize('x', [-2.0, -0.5, 0.0, 1.0])
@pytest.mark.parametrize('advantage', [-1.0, 1.0])
def test_effective_advantages(x, advantage):
  """A + (A − β₀)·g(x), for each estimator's g."""
  for kl, slope in [
    ('k2', x),
    ('ratio_k3', x),
    ('k3', 1 - np.exp(-x)),
  ]:
    method = make_method('adrpo', beta0=0.04, clip=0.0, kl=kl, guard=False)
    expected = advantage + (advantage - 0.04) * slope
    assert effective_advantage(method, advantage, x) == pytest.approx(
      expected, rel=1e-4, abs=1e-5
    )


def test_a_good_token_is_not_pushed_down_under_the_guard():
  """A = 1, x = −2: −0.92 without it, 1 with it; a bad one is held as before."""
  free = make_method('adrpo', clip=0.0, guard=False)
  guarded = make_method('adrpo', clip=0.0, guard=True)
  assert effective_advantage(free, 1.0, -2.0) < -0.9
  assert effective_advantage(guarded, 1.0, -2.0) == pytest.approx(1.0)
  for advantage, x in [(1.0, -0.6), (-1.0, -2.0), (-1.0, 1.0)]:
    assert effective_advantage(guarded, advantage, x) == pytest.approx(
      effective_advantage(free, advantage, x)
    )


def weights_of(method, rewards):
  rewards = jnp.asarray(rewards, jnp.float32)
  valid = jnp.ones_like(rewards, bool)
  state = method.weights.init(Weights(rewards, rewards))
  weights, _ = weigh(method.weights, rewards, valid, state, step=0)
  return weights, divergence_weights(method, weights, valid)


def test_weights_by_hand():
  """Rewards 0 and 1, one success in four: A = −0.5 and 1.5."""
  rewards = [[1.0, 0.0, 0.0, 0.0]]
  weights, (adaptive,) = weights_of(make_method('adrpo'), rewards)
  np.testing.assert_allclose(weights.policy, [[1.5] + [-0.5] * 3], rtol=1e-3)
  # β₀ − clip(A, ±0.5) = 0.1 − 0.5 and 0.1 + 0.5.
  np.testing.assert_allclose(adaptive, [[-0.4] + [0.6] * 3], rtol=1e-3)
  _, (fixed,) = weights_of(make_method('grpo'), rewards)
  np.testing.assert_allclose(fixed, np.full((1, 4), 0.04))
  weights, _ = weights_of(make_method('rloo'), rewards)
  np.testing.assert_allclose(weights.policy, [[1.0] + [-1 / 3] * 3], rtol=1e-6)
  plain, _ = weights_of(make_method('grpo', advantage='none'), rewards)
  np.testing.assert_allclose(plain.policy, rewards)


@pytest.mark.parametrize('name', LANGUAGE_METHODS)
def test_every_row_is_documented_and_has_a_source(name):
  row, method = LANGUAGE_METHODS[name], make_method(name)
  assert (method.name, method.title, method.source) == (
    name,
    row.title,
    row.source,
  )
  assert 'arXiv' in row.source
  assert row.make.__doc__
  assert set(row.paper) <= set(LANGUAGE_METHODS.parameters(name))


def test_a_parameter_of_the_run_is_none_of_the_config():
  assert 'max_completion_length' not in LANGUAGE_METHODS.parameters('grpo')
  method = make_method(
    'grpo', aggregation='constant_length', max_completion_length=20
  )
  scale = method.aggregation(jnp.array([[3, 5]]), jnp.ones((1, 2), bool))
  np.testing.assert_allclose(scale, [[1 / 40, 1 / 40]], rtol=1e-6)


@pytest.mark.parametrize(
  ('given', 'said'),
  [
    ({'kl': 'k1'}, 'expected gradient of log π − log π_ref is zero'),
    ({'kl': 'k4'}, "'k4'"),
    ({'advantage': 'grup'}, "Did you mean 'group'"),
    ({'ratio': 'tokn'}, "Did you mean 'token'"),
    ({'aggregation': 'constant_length'}, 'Expected max_completion_length'),
    ({'aggregation': 'mean'}, 'sample_mean'),
    ({'zero_variance': 'push'}, 'zero_variance'),
  ],
)
def test_settings_that_make_no_sense(given, said):
  with pytest.raises(ValueError, match=said):
    make_method('adrpo', **given)
