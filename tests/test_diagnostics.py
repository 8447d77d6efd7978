"""Diagnostics by hand: conditional means, maxima, quantiles, microbatches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax import diagnostics
from adrpo_jax.diagnostics import Largest, Mean, Quantiles

MASK = jnp.array([[[1.0, 1, 0], [1, 0, 0]]])  # [P = 1, G = 2, T = 3]
VALUES = jnp.array([[[1.0, 3, jnp.nan], [8, -99, jnp.inf]]])


def result(entries, mask=MASK):
  return diagnostics.results(diagnostics.totals({'it': entries}, mask))['it']


def test_a_plain_array_is_averaged_over_what_counts():
  assert float(result(VALUES)) == pytest.approx(4.0)


def test_a_mean_over_some_of_the_entries():
  weight = jnp.array([[[1.0, 0, 1], [1, 1, 1]]])
  assert float(result(Mean(VALUES, weight))) == pytest.approx(4.5)
  assert float(result(Mean(VALUES, jnp.zeros_like(weight)))) == 0.0


def test_axes_beyond_the_entries_are_kept_apart():
  value = jnp.stack([VALUES, 2 * VALUES], -1)
  found = result(Mean(value, jnp.ones_like(value)))
  np.testing.assert_allclose(found, [4.0, 8.0])


def test_the_largest_is_of_what_counts():
  assert float(result(Largest(VALUES))) == 8.0


@pytest.mark.parametrize('scale', [1e-6, 0.01, 1.0])
def test_quantiles_are_within_the_width_of_a_bin(scale):
  drawn = scale * jax.random.normal(jax.random.key(0), (4, 8, 500))
  found = result(Quantiles(drawn), jnp.ones_like(drawn))
  exact = np.quantile(np.asarray(drawn), diagnostics.QUANTILES)
  np.testing.assert_allclose(found, exact, rtol=0.12, atol=0.005 * scale)


def test_parts_merge_to_the_whole_and_updates_add_up():
  drawn = jnp.abs(jax.random.normal(jax.random.key(1), (4, 2, 6)))
  mask = (drawn > 0.3).astype(jnp.float32)

  def totals(rows):
    part = drawn[rows]
    kinds = {'mean': part, 'most': Largest(part), 'spread': Quantiles(part)}
    return diagnostics.totals(kinds, mask[rows])

  parts = [totals(slice(0, 2)), totals(slice(2, 4))]
  whole = diagnostics.results(totals(slice(0, 4)))
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
  for found in (
    diagnostics.merged(*parts),
    diagnostics.over_updates(stacked),
  ):
    for name, value in diagnostics.results(found).items():
      np.testing.assert_allclose(value, whole[name], rtol=1e-6, err_msg=name)
