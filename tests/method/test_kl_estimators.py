"""KL estimators: values and gradients by hand, garbage, and no explosions."""

import jax
import jax.numpy as jnp
import made_tokens
import numpy as np
import pytest

from adrpo_jax.method import kl_estimators
from adrpo_jax.method.kl_estimators import ESTIMATORS
from adrpo_jax.types import TokenAnchor

SAMPLED = ('k2', 'k3', 'ratio_k3')


def slope(name, x, ratio=0.0):
  """dD/dlog π of one token; anchors and the rollout stay where they are."""
  made = made_tokens.one(x, ratio)

  def total(own):
    outputs = made._replace(log_prob=own)
    return ESTIMATORS[name](outputs, outputs.anchors['reference']).sum()

  return float(jax.grad(total)(made.log_prob)[0, 0, 0])


@pytest.mark.parametrize('x', [-8.0, -3.0, -1.0, 0.0, 1.0, 5.0])
def test_the_gradients_of_the_table(x):
  assert slope('k2', x) == pytest.approx(x, rel=1e-5, abs=1e-6)
  assert slope('k3', x) == pytest.approx(1 - np.exp(-x), rel=1e-5, abs=1e-6)
  assert slope('ratio_k3', x) == pytest.approx(x, rel=1e-5, abs=1e-6)


def test_the_gradient_of_the_ratio_form_off_policy():
  """ρ·x for every ρ, as differentiating the product would give it."""
  for x, ratio in [(-2.0, 0.5), (0.7, -1.0), (3.0, 2.0)]:
    expected = np.exp(ratio) * x
    assert slope('ratio_k3', x, ratio) == pytest.approx(expected, rel=1e-5)

    def product(own, x=x, ratio=ratio):
      own_x, rho = own - (-1.0 - x), jnp.exp(own - (-1.0 - ratio))
      return rho * (jnp.exp(-own_x) + own_x - 1)

    derived = float(jax.grad(product)(jnp.float32(-1.0)))
    assert slope('ratio_k3', x, ratio) == pytest.approx(derived, rel=1e-4)


def test_values_by_hand():
  made = made_tokens.one(x=1.0, ratio=0.5)
  anchor = made.anchors['reference']
  k3 = np.exp(-1.0)
  for name, expected in [
    ('k2', 0.5),
    ('k3', k3),
    ('ratio_k3', np.exp(0.5) * k3),
  ]:
    value = ESTIMATORS[name](made, anchor)
    np.testing.assert_allclose(value, [[[expected]]], rtol=1e-6)


def test_far_from_the_anchor_the_ratio_form_stays_bounded():
  """Differentiating a clamped product gives +4.9e8 here."""
  assert slope('ratio_k3', -30.0) == pytest.approx(-20.0)
  assert slope('ratio_k3', 30.0) == pytest.approx(20.0)
  assert slope('k3', -30.0) == 0.0  # The clamp: no gradient, and no overflow.


@pytest.mark.parametrize('name', SAMPLED)
@pytest.mark.parametrize('garbage', [np.nan, np.inf, -np.inf, 1e30])
def test_garbage_behind_the_end_changes_nothing(name, garbage):
  made = made_tokens.tokens()
  hidden = made.mask == 0
  assert hidden.any()

  def total(own, old, reference):
    outputs = made._replace(log_prob=own, log_prob_old=old)
    return ESTIMATORS[name](outputs, TokenAnchor(reference)).sum()

  clean = made.log_prob, made.log_prob_old, made.anchors['reference'].log_prob
  spoiled = [jnp.where(hidden, garbage, a) for a in clean]
  value, gradient = jax.value_and_grad(total)(*clean)
  told, slopes = jax.value_and_grad(total)(*spoiled)
  assert np.isfinite(told)
  assert told == value
  np.testing.assert_array_equal(slopes, gradient)
  assert not slopes[hidden].any()


def test_the_expectation_of_each_is_the_divergence():
  """Over all tokens of a small vocabulary, weighed by the policy."""
  rng = np.random.default_rng(0)
  own, other = jax.nn.log_softmax(rng.normal(size=(2, 7)).astype(np.float32))
  probability = jnp.exp(own)
  exact = float((probability * (own - other)).sum())
  lengths = np.ones((7, 1), int)
  outputs = made_tokens.Tokens(
    log_prob=own[:, None, None],
    log_prob_old=own[:, None, None],
    mask=jnp.asarray(lengths[..., None]),
    anchors={},
  )
  anchor = TokenAnchor(other[:, None, None])
  for name in ('k3', 'ratio_k3'):
    values = ESTIMATORS[name](outputs, anchor)[:, 0, 0]
    assert float((probability * values).sum()) == pytest.approx(exact, rel=1e-5)


def test_the_expected_gradient_of_the_ratio_form_is_that_of_the_divergence():
  rng = np.random.default_rng(1)
  logits, reference = rng.normal(size=(2, 7)).astype(np.float32)
  other = jax.nn.log_softmax(reference)

  def exact(logits):
    own = jax.nn.log_softmax(logits)
    return (jnp.exp(own) * (own - other)).sum()

  def estimated(logits):
    own = jax.nn.log_softmax(logits)
    old = jax.lax.stop_gradient(own)
    outputs = made_tokens.Tokens(
      own[:, None, None], old[:, None, None], jnp.ones((7, 1, 1)), {}
    )
    anchor = TokenAnchor(other[:, None, None])
    values = kl_estimators.ratio_k3(outputs, anchor)[:, 0, 0]
    return (jnp.exp(old) * values).sum()

  np.testing.assert_allclose(
    jax.grad(estimated)(logits), jax.grad(exact)(logits), atol=1e-6
  )


def test_full_wants_what_the_modality_computes():
  made = made_tokens.tokens()
  anchor = made.anchors['reference']
  with pytest.raises(ValueError, match='full_kl'):
    kl_estimators.full(made, anchor)
  given = anchor._replace(kl=jnp.full_like(made.log_prob, 0.25))
  np.testing.assert_array_equal(
    kl_estimators.full(made, given), 0.25 * made.mask
  )


def test_where_a_released_token_would_be_pushed_down():
  for x, past in [(-0.70, True), (-0.69, False), (0.0, False), (-9.0, True)]:
    made = made_tokens.one(x)
    said = kl_estimators.past_flip(made, made.anchors['reference'])
    assert bool(said[0, 0, 0]) is past
