"""What a long answer weighs, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.method.aggregations import (
  constant_length,
  entry_mean,
  sample_mean,
)

LENGTHS = jnp.array([[2, 8], [5, 3]])
VALID = jnp.array([[True, True], [True, False]])  # 3 samples, 15 tokens
TABLE = {
  'sample_mean': (sample_mean, [[1 / 6, 1 / 24], [1 / 15, 0]]),
  'entry_mean': (entry_mean, [[1 / 15, 1 / 15], [1 / 15, 0]]),
  'constant_length': (constant_length(10), [[1 / 30, 1 / 30], [1 / 30, 0]]),
}


@pytest.mark.parametrize('name', TABLE)
def test_scales_by_hand(name):
  aggregation, expected = TABLE[name]
  scale = jax.jit(aggregation)(LENGTHS, VALID)
  assert scale.dtype == jnp.float32
  np.testing.assert_allclose(scale, expected, rtol=1e-6)


@pytest.mark.parametrize('name', ['sample_mean', 'entry_mean'])
def test_a_loss_of_one_everywhere_is_one(name):
  scale = TABLE[name][0](LENGTHS, VALID)
  assert float((scale * LENGTHS).sum()) == pytest.approx(1.0)


def test_length_bias_of_each():
  """How much more the answer of 8 tokens weighs than that of 2, as a whole."""
  weighed = {
    name: np.asarray(aggregation(LENGTHS, VALID) * LENGTHS)[0]
    for name, (aggregation, _) in TABLE.items()
  }
  ratio = {name: values[1] / values[0] for name, values in weighed.items()}
  assert ratio['sample_mean'] == pytest.approx(1.0)
  assert ratio['entry_mean'] == pytest.approx(4.0)
  assert ratio['constant_length'] == pytest.approx(4.0)


@pytest.mark.parametrize('name', TABLE)
def test_nothing_valid_and_empty_answers_give_no_nan(name):
  aggregation = TABLE[name][0]
  nothing = aggregation(LENGTHS, jnp.zeros_like(VALID))
  np.testing.assert_array_equal(nothing, jnp.zeros((2, 2)))
  empty = aggregation(jnp.zeros_like(LENGTHS), VALID)
  assert np.isfinite(empty).all()


def test_all_agree_where_all_samples_are_of_one_length():
  same = jnp.full((2, 2), 10)
  for aggregation, _ in TABLE.values():
    np.testing.assert_allclose(
      aggregation(same, VALID), sample_mean(same, VALID), rtol=1e-6
    )
