"""The straight path: numbers by hand, and its inverses."""

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.sampling import paths


def test_interpolation_by_hand():
  x0 = jnp.array([[1.0, 2.0], [3.0, -1.0]])
  noise = jnp.array([[0.0, 4.0], [1.0, 1.0]])
  got = paths.interpolate(x0, noise, jnp.array([0.25, 1.0]))
  np.testing.assert_allclose(got, [[0.75, 2.5], [1.0, 1.0]])
  np.testing.assert_allclose(
    paths.velocity_target(x0, noise), [[-1.0, 2.0], [-2.0, 2.0]]
  )


def test_estimates_invert_the_path():
  keys = jax.random.split(jax.random.key(0), 3)
  x0 = jax.random.normal(keys[0], (2, 3, 4, 5))
  noise = jax.random.normal(keys[1], (2, 3, 4, 5))
  sigma = jax.random.uniform(keys[2], (2, 3))
  x = paths.interpolate(x0, noise, sigma)
  u = paths.velocity_target(x0, noise)
  np.testing.assert_allclose(paths.clean_estimate(x, u, sigma), x0, atol=2e-6)
  np.testing.assert_allclose(
    paths.noise_estimate(x, u, sigma), noise, atol=2e-6
  )


def test_velocity_is_the_derivative_along_the_path():
  x0, noise = jnp.array([2.0, -1.0]), jnp.array([0.5, 3.0])
  _, slope = jax.jvp(
    lambda sigma: paths.interpolate(x0, noise, jnp.stack([sigma, sigma])),
    (jnp.float32(0.3),),
    (jnp.float32(1.0),),
  )
  np.testing.assert_allclose(slope, paths.velocity_target(x0, noise), rtol=1e-6)
