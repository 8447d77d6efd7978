"""Temperature and filters by hand; sampled frequencies; log-probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.sampling import token_distribution
from adrpo_jax.sampling.token_distribution import (
  make_token_distribution,
  sample_tokens,
  token_log_prob,
)

# Probabilities 0.5, 0.25, 0.15, 0.1, not in order.
PROBABILITY = np.array([0.15, 0.5, 0.1, 0.25], np.float32)
LOGITS = jnp.log(PROBABILITY) + 3.0


@pytest.mark.parametrize(
  ('apply', 'tokens'),
  [
    (token_distribution.keep_top_k(1), [1]),
    (token_distribution.keep_top_k(3), [0, 1, 3]),
    (token_distribution.keep_top_k(9), [0, 1, 2, 3]),
    (token_distribution.keep_top_p(0.4), [1]),
    (token_distribution.keep_top_p(0.51), [1, 3]),
    (token_distribution.keep_top_p(0.74), [1, 3]),
    (token_distribution.keep_top_p(0.76), [0, 1, 3]),
    (token_distribution.keep_top_p(0.99), [0, 1, 2, 3]),
    (token_distribution.keep_most_likely, [1]),
  ],
)
def test_the_tokens_that_a_filter_keeps(apply, tokens):
  assert np.flatnonzero(np.isfinite(apply(LOGITS))).tolist() == tokens
  rows = apply(jnp.stack([LOGITS, LOGITS[::-1]]))
  assert np.flatnonzero(np.isfinite(rows[0])).tolist() == tokens
  backwards = sorted(3 - token for token in tokens)
  assert np.flatnonzero(np.isfinite(rows[1])).tolist() == backwards


def test_ties():
  even = jnp.zeros(4)
  assert np.isfinite(token_distribution.keep_top_k(2)(even)).all()
  assert (
    np.isfinite(token_distribution.keep_most_likely(even)).tolist()
    == [True] + [False] * 3
  )


@pytest.mark.parametrize(
  ('distribution', 'expected'),
  [
    (make_token_distribution(), PROBABILITY),
    (make_token_distribution(0.5), PROBABILITY**2 / (PROBABILITY**2).sum()),
    (make_token_distribution(top_k=2), np.array([0, 2 / 3, 0, 1 / 3])),
    (make_token_distribution(top_p=0.76), np.array([0.15, 0.5, 0, 0.25]) / 0.9),
    # Top-k keeps 2/3 and 1/3; the first alone reaches 0.6.
    (make_token_distribution(top_k=2, top_p=0.6), np.array([0, 1, 0, 0])),
    (token_distribution.greedy(), np.array([0, 1, 0, 0])),
  ],
)
def test_log_probabilities_and_frequencies(distribution, expected):
  tokens = jnp.arange(4)
  rows = jnp.tile(LOGITS, (4, 1))
  probability = np.exp(token_log_prob(distribution, rows, tokens))
  inside = expected > 0
  np.testing.assert_allclose(probability[inside], expected[inside], rtol=1e-5)
  count = 4000
  keys = jax.random.split(jax.random.key(0), count)
  sampled = sample_tokens(distribution, jnp.tile(LOGITS, (count, 1)), keys)
  frequency = np.bincount(np.asarray(sampled), minlength=4) / count
  np.testing.assert_allclose(frequency, expected, atol=0.03)


def test_tokens_of_several_parts_of_the_vocabulary():
  """300 tokens are three parts; odd tokens have probability 0."""
  weight = np.where(np.arange(300) % 2, 0.0, 1.0 + np.arange(300) % 7)
  weight /= weight.sum()
  logits = jnp.log(jnp.asarray(weight, jnp.float32))
  count = 20_000
  keys = jax.random.split(jax.random.key(1), count)
  sampled = sample_tokens(
    make_token_distribution(), jnp.tile(logits, (count, 1)), keys
  )
  assert not (np.asarray(sampled) % 2).any()
  frequency = np.bincount(sampled, minlength=300) / count
  error = np.sqrt(weight * (1 - weight) / count)
  assert (np.abs(frequency - weight) <= 4.5 * error).all()


def test_nan_logits_still_give_a_token_of_the_vocabulary():
  keys = jax.random.split(jax.random.key(0), 2)
  sampled = sample_tokens(
    make_token_distribution(), jnp.full((2, 5), jnp.nan), keys
  )
  assert ((np.asarray(sampled) >= 0) & (np.asarray(sampled) < 5)).all()


def test_a_sampled_token_that_a_filter_now_excludes_keeps_a_probability():
  """Beside the allowed 0.5 and 0.25, the token of 0.1 has 0.1/0.85."""
  value = token_log_prob(
    make_token_distribution(top_k=2), LOGITS[None], jnp.array([2])
  )
  assert float(jnp.exp(value[0])) == pytest.approx(0.1 / 0.85, rel=1e-5)
  slope = jax.grad(
    lambda logits: token_log_prob(
      make_token_distribution(top_k=2), logits, jnp.array(2)
    )
  )(LOGITS)
  assert np.isfinite(slope).all()
  assert float(slope[0]) == 0.0  # Neither allowed nor sampled.
  assert float(slope.sum()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'temperature': 0.0}, 'temperature above 0, got 0.0. For the most'),
    ({'temperature': float('nan')}, 'temperature above 0'),
    ({'top_k': -1}, 'top_k of 0'),
    ({'top_p': 0.0}, '0 < top_p <= 1'),
    ({'top_p': 1.5}, '0 < top_p <= 1'),
  ],
)
def test_invalid_settings_are_refused(settings, message):
  with pytest.raises(ValueError, match=message):
    make_token_distribution(**settings)
