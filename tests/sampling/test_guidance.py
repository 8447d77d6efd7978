"""Guidance: one call of the model equals two, and costs nothing at 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.sampling.guidance import guided


class CountedModel:
  """tanh(x·w + σ + mean of the text), counting calls and rows."""

  def __init__(self):
    self.rows = []

  def __call__(self, params, x, sigma, condition):
    self.rows.append(len(x))
    text = condition['text'].mean(axis=(1, 2)) + condition['pooled'][:, 0]
    return jnp.tanh(x * params + (sigma + text)[:, None])


def make_inputs():
  keys = jax.random.split(jax.random.key(1), 6)
  x = jax.random.normal(keys[0], (5, 3))
  sigma = jax.random.uniform(keys[1], (5,))
  condition = {
    'text': jax.random.normal(keys[2], (5, 4, 2)),
    'pooled': jax.random.normal(keys[3], (5, 2)),
  }
  null = {
    'text': jax.random.normal(keys[4], (4, 2)),
    'pooled': jax.random.normal(keys[5], (2,)),
  }
  return x, sigma, condition, null


def test_batched_branches_equal_two_calls():
  x, sigma, condition, null = make_inputs()
  params, scale = jnp.float32(0.7), 4.5
  nulls = jax.tree.map(lambda n: jnp.stack([n] * 5), null)
  model = CountedModel()
  without = model(params, x, sigma, nulls)
  text = model(params, x, sigma, condition)
  got = guided(model, scale, null)(params, x, sigma, condition)
  np.testing.assert_allclose(got, without + scale * (text - without), rtol=1e-6)
  assert model.rows == [5, 5, 10]
  assert np.abs(got - text).max() > 0.1


def test_scale_one_is_the_function_itself():
  model = CountedModel()
  assert guided(model, 1.0, None) is model


def test_bad_scales_are_refused():
  with pytest.raises(ValueError, match=r'1 or more, got 0\.5'):
    guided(CountedModel(), 0.5, {})
  with pytest.raises(ValueError, match='1 or more, got nan'):
    guided(CountedModel(), float('nan'), {})
  with pytest.raises(ValueError, match='null_condition'):
    guided(CountedModel(), 2.0, None)
