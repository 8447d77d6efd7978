"""Transitions by hand, orders of convergence, marginals, log-probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.sampling import noise_levels, solvers

ROWS, LATENT = 6, (4, 3)
STOCHASTIC = {
  'flow_sde': solvers.flow_sde,
  'dance_sde': solvers.dance_sde,
  'cps': solvers.cps,
}


def curved(x, sigma):
  """A velocity field that bends in both of its arguments."""
  return jnp.sin(2 * x) + jnp.cos(5 * sigma)[:, None, None] * x


def start(seed=0):
  keys = jax.random.split(jax.random.key(seed), ROWS + 1)
  return jax.random.normal(keys[0], (ROWS,) + LATENT), keys[1:]


# x = 2, v = 0.5; the numbers are worked out from the formulas by hand.
BY_HAND = [
  (solvers.euler(), 0.5, 0.25, 1.875, 0.0),
  (solvers.flow_sde(1.0), 0.5, 0.25, 1.3125, 0.5),
  (solvers.flow_sde(1.0), 1.0, 0.8, 1.1, 2 * 0.2**0.5),
  (solvers.dance_sde(0.3), 0.5, 0.25, 1.824375, 0.15),
  (solvers.cps(0.5), 0.5, 0.25, 1.710247, 0.1767767),
]


@pytest.mark.parametrize(('transition', 'sigma', 'after', 'mu', 's'), BY_HAND)
def test_steps_by_hand(transition, sigma, after, mu, s):
  x, sigma, after = jnp.array([2.0]), jnp.array([sigma]), jnp.array([after])
  mean = transition.mean(lambda *_: jnp.array([0.5]), x, sigma, after)
  np.testing.assert_allclose(mean, [mu], rtol=1e-6)
  np.testing.assert_allclose(transition.std(sigma, after), [s], rtol=1e-6)


@pytest.mark.parametrize('name', STOCHASTIC)
def test_eta_zero_is_euler(name):
  x, keys = start()
  sigmas = noise_levels.sd3_sigmas(10)
  euler = solvers.solve(curved, x, sigmas, solvers.euler(), keys)
  got = solvers.solve(curved, x, sigmas, STOCHASTIC[name](0.0), keys)
  scale = float(jnp.abs(euler).max())
  np.testing.assert_allclose(got, euler, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize(
  ('transition', 'order'), [(solvers.euler(), 1), (solvers.heun(), 2)]
)
def test_order_of_convergence(transition, order):
  # dx/dσ = 3 cos(3σ)·x has x(0) = x(1)·exp(−sin 3).
  def field(x, sigma):
    return 3 * jnp.cos(3 * sigma)[:, None, None] * x

  x, keys = start()
  exact = x * np.exp(-np.sin(3.0))

  def error(steps):
    sigmas = noise_levels.uniform_sigmas(steps)
    got = solvers.solve(field, x, sigmas, transition, keys)
    return float(jnp.abs(got - exact).max())

  measured = np.log2(error(64) / error(128))
  assert measured == pytest.approx(order, abs=0.12)


def gaussian_velocity(x, sigma):
  """E[ε − x₀ | x_σ] where data is N(0, 0.3²)."""
  sigma = sigma[:, None]
  variance = 0.09 * (1 - sigma) ** 2 + sigma**2
  return (sigma - 0.09 * (1 - sigma)) / variance * x


# Ratio of the std to that of the true marginal, halfway and at the end.
MARGINALS = [
  (solvers.euler(), 0.999, 0.894),
  (solvers.flow_sde(0.7), 1.027, 0.939),
  (solvers.cps(0.7), 0.997, 0.757),
  (solvers.cps(0.9), 0.995, 0.676),
  (solvers.dance_sde(0.3), 0.999, 0.917),
]


@pytest.mark.parametrize(('transition', 'halfway', 'end'), MARGINALS)
def test_marginals_of_a_gaussian_target(transition, halfway, end):
  # The field is linear, so a step maps std² to mean(1)²·std² + s².
  sigmas = jnp.asarray(noise_levels.shifted_sigmas(40, 3.0))
  ones, levels = jnp.ones((40, 1)), (sigmas[:-1], sigmas[1:])
  factors = np.asarray(transition.mean(gaussian_velocity, ones, *levels))
  added = np.asarray(transition.std(*levels))
  variances = [1.0]
  for factor, std in zip(factors[:, 0], added, strict=True):
    variances.append(factor**2 * variances[-1] + std**2)
  truth = np.sqrt(0.09 * (1 - sigmas) ** 2 + sigmas**2)
  ratio = np.sqrt(variances) / truth
  # Halfway the table is a little off the exact numbers, being simulated.
  assert ratio[20] == pytest.approx(halfway, abs=0.0021)
  assert ratio[40] == pytest.approx(end, abs=0.0012)


def test_solver_adds_the_noise_of_the_table():
  sigmas = noise_levels.shifted_sigmas(40, 3.0)
  keys = jax.random.split(jax.random.key(2), 101)
  x = jax.random.normal(keys[0], (100, 2000))
  x0 = solvers.solve(
    gaussian_velocity, x, sigmas, solvers.flow_sde(0.7), keys[1:]
  )
  # 200 000 numbers know a std to 0.0016.
  assert float(x0.std()) / 0.3 == pytest.approx(0.938, abs=0.006)


def test_fine_euler_reaches_the_std_of_the_target():
  x, _ = start()
  x = x.reshape(ROWS, -1)
  sigmas = noise_levels.shifted_sigmas(2000, 3.0)
  got = solvers.solve(gaussian_velocity, x, sigmas, solvers.euler(), x)
  np.testing.assert_allclose(got, 0.3 * x, rtol=0.004)


@pytest.mark.parametrize('name', ['flow_sde', 'dance_sde'])
def test_log_prob_is_the_mean_normal_density(name):
  transition = STOCHASTIC[name](0.7)
  x, keys = start()
  _, steps = solvers.solve_with_steps(
    curved, x, noise_levels.shifted_sigmas(5, 3.0), transition, keys
  )
  mean = transition.mean(
    lambda x, s: jnp.sin(2 * x) + jnp.cos(5 * s)[..., None, None] * x,
    *(steps.x, steps.sigma, steps.sigma_next),
  )
  std = transition.std(steps.sigma, steps.sigma_next)
  scale = std[:, :, None, None]
  density = jax.scipy.stats.norm.logpdf(steps.x_next, mean, scale)
  np.testing.assert_allclose(
    steps.log_prob, density.mean(axis=(2, 3)), atol=1e-5
  )


def test_cps_drops_the_constants():
  got = solvers.log_prob(
    solvers.cps(0.7), jnp.array([[1.0, 3.0]]), jnp.zeros((1, 2)), jnp.ones(1)
  )
  np.testing.assert_allclose(got, [-5.0])


@pytest.mark.parametrize(
  'transition',
  [
    *(solvers.euler(), solvers.heun()),
    *(make(0.0) for make in STOCHASTIC.values()),
  ],
)
def test_log_prob_of_a_deterministic_step_is_refused(transition):
  x, keys = start()
  with pytest.raises(ValueError, match='eta > 0'):
    solvers.log_prob(transition, x, x, jnp.zeros(ROWS))
  with pytest.raises(ValueError, match='eta > 0'):
    solvers.solve_with_steps(
      curved, x, noise_levels.uniform_sigmas(3), transition, keys
    )


@pytest.mark.parametrize('name', STOCHASTIC)
def test_record_is_the_solution_with_its_steps(name):
  transition = STOCHASTIC[name](0.7)
  x, keys = start()
  sigmas = noise_levels.shifted_sigmas(5, 3.0)
  x0, steps = solvers.solve_with_steps(curved, x, sigmas, transition, keys)
  solved = solvers.solve(curved, x, sigmas, transition, keys)
  np.testing.assert_allclose(x0, solved, rtol=0, atol=3e-6)
  np.testing.assert_array_equal(steps.x[:, 0], x)
  np.testing.assert_array_equal(steps.x[:, 1:], steps.x_next[:, :-1])
  np.testing.assert_array_equal(steps.x_next[:, -1], x0)
  np.testing.assert_array_equal(steps.sigma[3], sigmas[:-1])
  np.testing.assert_array_equal(steps.sigma_next[3], sigmas[1:])
  assert steps.log_prob.shape == (ROWS, 5)


def test_rows_depend_on_their_own_keys_only():
  x, keys = start()
  sigmas = noise_levels.shifted_sigmas(4, 3.0)
  whole = solvers.solve(curved, x, sigmas, solvers.flow_sde(0.7), keys)
  part = solvers.solve(curved, x[2:4], sigmas, solvers.flow_sde(0.7), keys[2:4])
  np.testing.assert_allclose(part, whole[2:4], rtol=1e-6, atol=1e-6)


def test_velocities_in_bfloat16_keep_the_state_in_float32():
  x, keys = start()

  def half(x, sigma):
    return curved(x, sigma).astype(jnp.bfloat16)

  sigmas = noise_levels.uniform_sigmas(3)
  got = solvers.solve(
    half, x.astype(jnp.bfloat16), sigmas, solvers.flow_sde(0.5), keys
  )
  assert got.dtype == jnp.float32


@pytest.mark.parametrize('eta', [-0.1, float('nan')])
def test_bad_eta_is_refused(eta):
  for make in STOCHASTIC.values():
    with pytest.raises(ValueError, match='eta'):
      make(eta)
  with pytest.raises(ValueError, match='between 0 and 1'):
    solvers.cps(1.5)
