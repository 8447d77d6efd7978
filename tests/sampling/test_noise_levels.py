"""Grids against the numbers of diffusers, training draws against SD3's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.sampling import noise_levels

SD3 = {
  4: [1, 0.857692, 0.602151, 0.008929, 0],
  10: [
    *(1, 0.960129, 0.913349, 0.857692, 0.790368, 0.707278),
    *(0.602151, 0.464876, 0.278049, 0.008929, 0),
  ],
}


@pytest.mark.parametrize('steps', SD3)
def test_sd3_grid_is_that_of_diffusers(steps):
  got = noise_levels.sd3_sigmas(steps)
  np.testing.assert_allclose(got, SD3[steps], atol=6e-7)


def test_last_positive_level_of_the_sd3_grid_is_shifted_twice():
  for steps in (2, 28, 40):
    assert noise_levels.sd3_sigmas(steps)[-2] == pytest.approx(0.008929, 1e-4)


def test_grid_shifted_once_ends_coarsely():
  got = noise_levels.shifted_sigmas(28, 3.0)
  assert len(got) == 29
  assert got[-2] == pytest.approx(0.1)
  np.testing.assert_allclose(
    noise_levels.shifted_sigmas(2, 3.0), [1, 0.75, 0], rtol=1e-6
  )
  np.testing.assert_allclose(
    noise_levels.uniform_sigmas(4), [1, 0.75, 0.5, 0.25, 0]
  )


def test_quantiles_of_the_shifted_logit_normal():
  quantile = noise_levels.logit_normal(shift=3.0)
  levels = jnp.array([0.05, 0.25, 0.5, 0.75, 0.95])
  expected = [0.367, 0.605, 0.75, 0.855, 0.939]
  np.testing.assert_allclose(quantile(levels), expected, atol=6e-4)
  middle = (jnp.arange(10000) + 0.5) / 10000
  assert float(quantile(middle).mean()) == pytest.approx(0.714, abs=5e-4)


def test_stratified_draws_fall_into_their_own_strata():
  keys = jax.random.split(jax.random.key(0), 2000)

  def draw(key):
    return noise_levels.stratified(key, 4, noise_levels.uniform)

  sigma = np.asarray(jax.vmap(draw)(keys))
  assert (np.floor(sigma * 4) == np.arange(4)).all()
  np.testing.assert_allclose(sigma.std(axis=0), 0.25 / 12**0.5, rtol=0.05)
  assert sigma.mean() == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(('steps', 'shift'), [(0, 3.0), (4, 0.0), (4, -1.0)])
def test_bad_grids_are_refused(steps, shift):
  for grid in (noise_levels.sd3_sigmas, noise_levels.shifted_sigmas):
    with pytest.raises(ValueError, match=f'steps={steps}, shift={shift}'):
      grid(steps, shift)


def test_bad_training_levels_are_refused():
  with pytest.raises(ValueError, match='positive shift'):
    noise_levels.logit_normal(shift=0)
