"""Temperature and filters by hand; sampled frequencies; log-probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.sampling import token_choice
from adrpo_jax.sampling.token_choice import choose, log_prob, make_choice

# Probabilities 0.5, 0.25, 0.15, 0.1, not in order.
PROBABILITY = np.array([0.15, 0.5, 0.1, 0.25], np.float32)
LOGITS = jnp.log(PROBABILITY) + 3.0


def left(kept):
  return np.flatnonzero(np.isfinite(kept(LOGITS))).tolist()


@pytest.mark.parametrize(
  ('kept', 'tokens'),
  [
    (token_choice.largest(1), [1]),
    (token_choice.largest(3), [0, 1, 3]),
    (token_choice.largest(9), [0, 1, 2, 3]),
    (token_choice.nucleus(0.4), [1]),
    (token_choice.nucleus(0.51), [1, 3]),
    (token_choice.nucleus(0.74), [1, 3]),
    (token_choice.nucleus(0.76), [0, 1, 3]),
    (token_choice.nucleus(0.99), [0, 1, 2, 3]),
    (token_choice.likeliest, [1]),
  ],
)
def test_what_a_filter_leaves(kept, tokens):
  assert left(kept) == tokens
  rows = kept(jnp.stack([LOGITS, LOGITS[::-1]]))
  assert np.flatnonzero(np.isfinite(rows[0])).tolist() == tokens
  backwards = sorted(3 - token for token in tokens)
  assert np.flatnonzero(np.isfinite(rows[1])).tolist() == backwards


def test_ties():
  even = jnp.zeros(4)
  assert np.isfinite(token_choice.largest(2)(even)).all()
  assert (
    np.isfinite(token_choice.likeliest(even)).tolist() == [True] + [False] * 3
  )


@pytest.mark.parametrize(
  ('choice', 'expected'),
  [
    (make_choice(), PROBABILITY),
    (make_choice(0.5), PROBABILITY**2 / (PROBABILITY**2).sum()),
    (make_choice(top_k=2), np.array([0, 2 / 3, 0, 1 / 3])),
    (make_choice(top_p=0.76), np.array([0.15, 0.5, 0, 0.25]) / 0.9),
    # Of what top-k leaves, 2/3 and 1/3, the first alone reaches 0.6.
    (make_choice(top_k=2, top_p=0.6), np.array([0, 1, 0, 0])),
    (token_choice.greedy(), np.array([0, 1, 0, 0])),
  ],
)
def test_log_probabilities_and_frequencies(choice, expected):
  tokens = jnp.arange(4)
  rows = jnp.tile(LOGITS, (4, 1))
  told = np.exp(log_prob(choice, rows, tokens))
  inside = expected > 0
  np.testing.assert_allclose(told[inside], expected[inside], rtol=1e-5)
  count = 4000
  keys = jax.random.split(jax.random.key(0), count)
  drawn = choose(choice, jnp.tile(LOGITS, (count, 1)), keys)
  frequency = np.bincount(np.asarray(drawn), minlength=4) / count
  np.testing.assert_allclose(frequency, expected, atol=0.03)


def test_tokens_of_several_parts_of_the_vocabulary():
  """300 tokens are three parts; those of odd number are left out."""
  weight = np.where(np.arange(300) % 2, 0.0, 1.0 + np.arange(300) % 7)
  weight /= weight.sum()
  logits = jnp.log(jnp.asarray(weight, jnp.float32))
  count = 20_000
  keys = jax.random.split(jax.random.key(1), count)
  drawn = choose(make_choice(), jnp.tile(logits, (count, 1)), keys)
  assert not (np.asarray(drawn) % 2).any()
  frequency = np.bincount(drawn, minlength=300) / count
  error = np.sqrt(weight * (1 - weight) / count)
  assert (np.abs(frequency - weight) <= 4.5 * error).all()


def test_a_token_of_broken_logits_is_still_one_of_the_vocabulary():
  keys = jax.random.split(jax.random.key(0), 2)
  drawn = choose(make_choice(), jnp.full((2, 5), jnp.nan), keys)
  assert ((np.asarray(drawn) >= 0) & (np.asarray(drawn) < 5)).all()


def test_a_sampled_token_that_a_filter_now_excludes_keeps_a_probability():
  """Of 0.5 and 0.25 left beside it, the token of 0.1 has 0.1/0.85."""
  told = log_prob(make_choice(top_k=2), LOGITS[None], jnp.array([2]))
  assert float(jnp.exp(told[0])) == pytest.approx(0.1 / 0.85, rel=1e-5)
  slope = jax.grad(
    lambda logits: log_prob(make_choice(top_k=2), logits, jnp.array(2))
  )(LOGITS)
  assert np.isfinite(slope).all()
  assert float(slope[0]) == 0.0  # Neither left nor sampled.
  assert float(slope.sum()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
  ('given', 'said'),
  [
    ({'temperature': 0.0}, 'temperature above 0, got 0.0. Take greedy'),
    ({'temperature': float('nan')}, 'temperature above 0'),
    ({'top_k': -1}, 'top_k of 0'),
    ({'top_p': 0.0}, '0 < top_p <= 1'),
    ({'top_p': 1.5}, '0 < top_p <= 1'),
  ],
)
def test_settings_that_make_no_sense(given, said):
  with pytest.raises(ValueError, match=said):
    make_choice(**given)
