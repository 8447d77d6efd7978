"""Chunked log-probabilities equal the direct ones and take less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.models.decoder.log_probs import (
  chunked_kl,
  chunked_log_probs,
  log_probs,
  logits,
  logits_of_known,
)
from adrpo_jax.sampling.token_distribution import (
  greedy,
  log_prob_and_entropy,
  make_token_distribution,
  sample_tokens,
)


def random_arrays(batch, length, features, vocabulary):
  rng = np.random.default_rng(0)
  return (
    rng.normal(size=(batch, length, features)).astype(np.float32),
    rng.normal(size=(vocabulary, features)).astype(np.float32),
    rng.integers(0, vocabulary, (batch, length)),
  )


def test_by_hand():
  """p = (1/4, 3/4): logits (0, log 3)."""
  hidden = jnp.ones((1, 2, 1))
  embedding = jnp.array([[0.0], [np.log(3.0)]])
  result = chunked_log_probs(hidden, embedding, jnp.array([[0, 1]]), chunk=1)
  np.testing.assert_allclose(
    result.log_probs, [np.log([0.25, 0.75])], rtol=1e-6
  )
  entropy = np.log(4) - 0.75 * np.log(3)
  np.testing.assert_allclose(result.entropy, [[entropy, entropy]], rtol=1e-6)


@pytest.mark.parametrize('chunk', [3, 5, 16])
def test_chunked_is_the_direct_form(chunk):
  """10 positions in chunks that divide them or not; gradients as well."""
  hidden, embedding, tokens = random_arrays(2, 10, 6, 30)

  def loss(way, **settings):
    def of(hidden, embedding):
      result = way(hidden, embedding, tokens, **settings)
      weights = jnp.arange(20.0).reshape(2, 10)
      total = jnp.sum(weights * result.log_probs) + jnp.sum(result.entropy**2)
      return total, result

    run = jax.jit(jax.value_and_grad(of, (0, 1), has_aux=True))
    return run(hidden, embedding)

  direct, chunked = loss(log_probs), loss(chunked_log_probs, chunk=chunk)
  for a, b in zip(*map(jax.tree.leaves, (chunked, direct)), strict=True):
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= 2e-6 * np.abs(b).max()


@pytest.mark.parametrize('chunk', [3, 16])
def test_the_divergence_over_the_vocabulary(chunk):
  hidden, embedding, _ = random_arrays(2, 10, 6, 30)
  other, theirs = hidden[:, ::-1] * 0.5, embedding[::-1] * 0.7

  def direct(hidden):
    log_p = jax.nn.log_softmax(hidden @ embedding.T)
    log_q = jax.nn.log_softmax(other @ theirs.T)
    return (jnp.exp(log_p) * (log_p - log_q)).sum(-1)

  def chunked(hidden):
    return chunked_kl(hidden, embedding, other, theirs, chunk=chunk)

  np.testing.assert_allclose(chunked(hidden), direct(hidden), rtol=2e-5)
  weights = jnp.arange(20.0).reshape(2, 10)
  slopes = [
    jax.grad(lambda h, form=form: (weights * form(h)).sum())(hidden)
    for form in (chunked, direct)
  ]
  assert np.abs(slopes[0] - slopes[1]).max() <= 1e-5 * np.abs(slopes[1]).max()
  same = chunked_kl(hidden, embedding, hidden, embedding, chunk=chunk)
  np.testing.assert_allclose(same, jnp.zeros((2, 10)), atol=1e-6)


def test_memory_does_not_hold_the_logits():
  """Measures a value with its gradients; the direct form saves [B, T, V]."""
  arguments = random_arrays(2, 256, 8, 2048)
  all_logits = 4 * 2 * 256 * 2048  # bytes of the logits, 4 MiB

  def temporary(way, **settings):
    def loss(hidden, embedding, tokens):
      result = way(hidden, embedding, tokens, **settings)
      return result.log_probs.sum() + result.entropy.sum()

    run = jax.jit(jax.value_and_grad(loss, (0, 1)))
    return run.lower(*arguments).compile().memory_analysis().temp_size_in_bytes

  direct = temporary(log_probs)
  chunked = temporary(chunked_log_probs, chunk=16)
  assert direct >= all_logits
  assert chunked < 6 * all_logits / 16  # a few arrays of one chunk
  assert chunked < direct / 8, (chunked, direct)


def test_rows_that_no_token_has_are_as_if_they_were_not_there():
  """Log-probabilities, entropies, divergences and their gradients."""
  hidden, embedding, tokens = random_arrays(2, 6, 4, 9)
  known = np.isin(np.arange(9), [0, 1, 4, 5, 8])
  tokens = np.array([0, 1, 4, 5, 8])[tokens % 5]
  fewer = np.cumsum(known) - 1
  head = logits_of_known(known)

  def measures(hidden, embedding, tokens, head):
    result = chunked_log_probs(hidden, embedding, tokens, chunk=3, head=head)
    kl = chunked_kl(
      *(hidden, embedding, hidden * 0.5, embedding), chunk=3, head=head
    )
    return jnp.stack([*result, kl])

  def slopes(hidden, embedding, tokens, head):
    def total(hidden, embedding):
      return jnp.sum(measures(hidden, embedding, tokens, head) ** 2)

    return jax.grad(total, (0, 1))(hidden, embedding)

  masked = hidden, embedding, tokens, head
  short = hidden, embedding[known], fewer[tokens], logits
  np.testing.assert_allclose(measures(*masked), measures(*short), rtol=2e-5)
  for found, expected in zip(slopes(*masked), slopes(*short), strict=True):
    if len(found) == 9:
      assert not found[~known].any()
      found = found[known]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_row_that_no_token_has_is_never_drawn():
  """Its logit is the largest; greedy, top-k and top-p leave it out too."""
  known = np.array([True, True, False])
  rows = logits_of_known(known)(
    jnp.ones((300, 1)), jnp.array([[0.0], [1], [9]])
  )
  keys = jax.random.split(jax.random.key(0), 300)
  for distribution in (
    make_token_distribution(),
    make_token_distribution(temperature=1e6),
    make_token_distribution(top_k=3, top_p=0.999),
    greedy(),
  ):
    drawn = sample_tokens(distribution, rows, keys)
    assert set(np.asarray(drawn).tolist()) <= {0, 1}
    value, entropy = log_prob_and_entropy(distribution, rows, drawn)
    assert np.isfinite(value).all()
    assert np.isfinite(entropy).all()
