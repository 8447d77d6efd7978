"""Surrogates on tokens by hand, and what no loss may look at."""

import jax
import jax.numpy as jnp
import made_tokens
import numpy as np
import pytest

from adrpo_jax.method import token_losses
from adrpo_jax.method.token_losses import clipped
from adrpo_jax.types import Weights

RATIOS = {
  'token': token_losses.token_ratio,
  'sequence': token_losses.sequence_ratio,
  'product': token_losses.product_ratio,
}
LOSSES = {name: clipped(ratio) for name, ratio in RATIOS.items()} | {
  'dual': clipped(dual=3.0),
  'likelihood': token_losses.likelihood,
  'dpo': token_losses.dpo_pairs(0.1),
}


def weights(policy):
  policy = jnp.asarray(policy, jnp.float32)
  return Weights(policy, jnp.zeros_like(policy))


def weighed(loss, advantage, ratio):
  """A·ℓ and its slope in log π, for one token with π/π_old = ratio."""
  made = made_tokens.one(ratio=np.log(ratio))
  given = weights([[advantage]])

  def total(own):
    return (advantage * loss(made._replace(log_prob=own), given)).sum()

  value, slope = jax.value_and_grad(total)(made.log_prob)
  return float(value), float(slope[0, 0, 0])


@pytest.mark.parametrize(
  ('advantage', 'ratio', 'value', 'slope'),
  [
    (2.0, 1.0, -2.0, -2.0),
    (2.0, 1.1, -2.2, -2.2),
    (2.0, 1.5, -2.6, 0.0),  # clipped at 1.3: pushed far enough
    (2.0, 0.5, -1.0, -1.0),
    (-2.0, 1.0, 2.0, 2.0),
    (-2.0, 0.5, 1.6, 0.0),  # clipped at 0.8
    (-2.0, 1.5, 3.0, 3.0),
    (0.0, 1.5, 0.0, 0.0),
  ],
)
def test_the_clipped_surrogate_by_hand(advantage, ratio, value, slope):
  got = weighed(clipped(low=0.2, high=0.3), advantage, ratio)
  assert got == pytest.approx((value, slope), abs=1e-5)


def test_the_dual_clip_bounds_what_a_bad_sample_costs():
  loss = clipped(dual=3.0)
  assert weighed(loss, -2.0, 10.0) == pytest.approx((6.0, 0.0), abs=1e-5)
  assert weighed(loss, -2.0, 2.0) == pytest.approx((4.0, 4.0), abs=1e-5)
  assert weighed(loss, 2.0, 10.0) == pytest.approx((-2.4, 0.0), abs=1e-5)


def test_ratios_of_answers_by_hand():
  """Two tokens of log-ratios 0.2 and 0.4; a third behind the end."""
  log_ratio = jnp.array([[[0.2, 0.4, 9.0]]])
  made = made_tokens.Tokens(
    log_ratio, jnp.zeros_like(log_ratio), jnp.array([[[1, 1, 0]]]), {}
  )
  np.testing.assert_allclose(
    token_losses.token_ratio(made)[0, 0], np.exp([0.2, 0.4, 0.0]), rtol=1e-6
  )
  np.testing.assert_allclose(
    token_losses.sequence_ratio(made)[0, 0], np.exp([0.3]), rtol=1e-6
  )
  np.testing.assert_allclose(
    token_losses.product_ratio(made)[0, 0], np.exp([0.6]), rtol=1e-6
  )


def test_dpo_by_hand():
  """Answers of 2 and 1 tokens: winner up by 0.3, loser down by 0.1."""
  x = jnp.array([[[0.1, 0.2, 7.0], [-0.1, 7.0, 7.0]]])
  made = made_tokens.Tokens(
    x,
    x,
    jnp.array([[[1, 1, 0], [1, 0, 0]]]),
    {'reference': made_tokens.TokenAnchor(jnp.zeros_like(x))},
  )
  given = weights([[1.0, -1.0]])
  entries = given.policy[..., None] * token_losses.dpo_pairs(0.5)(made, given)
  expected = np.log(1 + np.exp(-0.5 * (0.3 + 0.1)))
  np.testing.assert_allclose(entries, np.full((1, 2, 3), expected), rtol=1e-5)
  tie = token_losses.dpo_pairs(0.5)(made, weights([[0.0, 0.0]]))
  np.testing.assert_array_equal(tie, jnp.zeros_like(tie))


@pytest.mark.parametrize('name', LOSSES)
def test_every_loss_has_an_entry_for_every_token(name):
  made = made_tokens.tokens()
  given = weights(np.linspace(-1, 1, 12).reshape(3, 4))
  entries = jax.jit(LOSSES[name])(made, given)
  assert entries.shape == made.log_prob.shape
  assert entries.dtype == jnp.float32


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('garbage', [np.nan, np.inf, -np.inf, 1e30])
def test_garbage_behind_the_end_changes_no_gradient(name, garbage):
  made = made_tokens.tokens()
  hidden = made.mask == 0
  pair = np.tile([1.0, -1.0, 0.0, 0.0], (3, 1))
  given = weights(pair)

  def total(own, old, reference):
    outputs = made._replace(
      log_prob=own,
      log_prob_old=old,
      anchors={'reference': made_tokens.TokenAnchor(reference)},
    )
    return jnp.where(hidden, 0.0, LOSSES[name](outputs, given)).sum()

  clean = made.log_prob, made.log_prob_old, made.anchors['reference'].log_prob
  spoiled = [jnp.where(hidden, garbage, a) for a in clean]
  value, gradient = jax.value_and_grad(total)(*clean)
  told, slopes = jax.value_and_grad(total)(*spoiled)
  assert told == value
  np.testing.assert_array_equal(slopes, gradient)
  assert np.isfinite(slopes).all()


def test_on_policy_every_ratio_has_the_gradient_of_the_likelihood():
  """A·∇log π: of each token; of a product, of each token in every entry."""
  made = made_tokens.tokens()
  made = made._replace(log_prob_old=made.log_prob)
  given = weights(np.linspace(-1, 1, 12).reshape(3, 4))
  lengths = made.mask.sum(2, keepdims=True)

  def slopes(name):
    def total(own):
      loss = LOSSES[name](made._replace(log_prob=own), given)
      return (given.policy[..., None] * made.mask * loss).sum()

    return jax.grad(total)(made.log_prob)

  expected = -given.policy[..., None] * made.mask
  for name in ('token', 'sequence', 'likelihood'):
    np.testing.assert_allclose(slopes(name), expected, atol=1e-6)
  np.testing.assert_allclose(slopes('product'), lengths * expected, atol=1e-5)


@pytest.mark.parametrize(
  'bad', [{'low': 0.0}, {'low': 1.0}, {'high': -0.1}, {'dual': 1.0}]
)
def test_bounds_that_make_no_sense(bad):
  with pytest.raises(ValueError, match='0 < low < 1, high > 0 and dual > 1'):
    clipped(**bad)
