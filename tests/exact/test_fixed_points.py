"""Every method's loop on a line ends where its loss says it stands still.

Two equal modes; the right one is rewarded. What moves no fixed point (an anchor
that follows the policy, a clip that is not reached) is not tested here.
"""

import itertools

from fixed_points import fixed_point
import jax.numpy as jnp
from line_world import Mixture, World, train
import numpy as np
import pytest

from adrpo_jax.method.methods import METHODS, make_method
from adrpo_jax.sampling import solvers
from adrpo_jax.types import Scores

BASE = Mixture((0.5, 0.5), (-1.5, 1.5), 0.4)
WORLD = World(BASE, (lambda x: 1.0 * (x > 0),), reach=4.0, knots=65)
TOLERANCE = 0.02  # of the share of the right mode


def share(samples):
  return float((samples > 0).mean())


def clipped(rewards, limit):
  return np.clip(rewards - rewards.mean(), -limit, limit)


def standardized(rewards):
  return (rewards - rewards.mean()) / (rewards.std() + 1e-4)


def constant(rewards, value):
  return np.full_like(rewards, value)


# name -> parameters, and rewards -> (w_policy, w_divergence) by theory. An
# anchor that follows the policy, as NFT's and AWM's, pulls at no fixed point.
ONLINE = {
  'adrpo': (
    {'beta0': 1.0},
    lambda r: (clipped(r, 0.9), 1.0 - clipped(r, 0.9)),
  ),
  'fixed_w2': (
    {'beta': 1.0},
    lambda r: (clipped(r, 0.9), constant(r, 1.0)),
  ),
  'ram': ({'beta': 1.0}, lambda r: (clipped(r, 0.9), constant(r, 1.0))),
  'orw_cfm_w2': (
    {'tau': 1.0, 'alpha': 2.0},
    lambda r: (np.exp(r), constant(r, 2.0)),
  ),
  'nft': (
    {'reference_weight': 0.4},
    lambda r: (standardized(r) / 5, constant(r, 0.4)),
  ),
  'awm': (
    {'beta': 0.4},
    lambda r: (standardized(r) / 5, constant(r, 0.4)),
  ),
}
ELSEWHERE = {'rwr', 'raft', 'dpo', 'flow_grpo'}  # in tests below


def test_every_method_is_here():
  assert ONLINE.keys() | ELSEWHERE == METHODS.keys()


@pytest.mark.slow
@pytest.mark.parametrize('name', ONLINE)
def test_the_loop_ends_at_the_fixed_point_of_its_loss(name):
  values, weigh = ONLINE[name]
  wanted = fixed_point(WORLD, 0, weigh, rounds=200)
  (run,) = train(WORLD, lambda: make_method(name, **values))
  assert run.finite.all()
  assert share(wanted.samples) > 0.5 + 5 * TOLERANCE
  assert share(run.samples[0]) == pytest.approx(
    share(wanted.samples), abs=TOLERANCE
  )
  assert run.samples[0].std() == pytest.approx(wanted.samples.std(), rel=0.03)
  # The velocity too: it has gone nine tenths of the way, in squares.
  gone = wanted.distance(WORLD.velocity_at_knots(run.table, 0))
  assert gone < 0.1 * wanted.distance(WORLD.reference_at_knots())


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'other'), [('adrpo', 'fixed_w2'), ('fixed_w2', 'adrpo')]
)
def test_an_adaptive_and_a_fixed_pull_end_in_places_of_their_own(name, other):
  """Their shares nearly agree; the velocity tells β₀ − A from β."""
  values, weigh = ONLINE[name]
  own = fixed_point(WORLD, 0, weigh, rounds=200)
  (run,) = train(WORLD, lambda: make_method(name, **values))
  velocity = WORLD.velocity_at_knots(run.table, 0)
  theirs = fixed_point(WORLD, 0, ONLINE[other][1], rounds=200)
  assert own.distance(velocity) < 0.5 * theirs.distance(velocity)


@pytest.mark.parametrize('beta0', [0.8, 1.0, 2.0])
def test_adrpo_gains_what_the_law_of_two_modes_says(beta0):
  """p = p₀ + (d/β₀)·p(1 − p), for p₀ = ½ and d = 1."""
  (run,) = train(WORLD, lambda: make_method('adrpo', beta0=beta0))
  p = (1 - beta0 + np.sqrt((1 - beta0) ** 2 + 2 * beta0)) / 2
  assert share(run.samples[0]) == pytest.approx(p, abs=TOLERANCE)


def test_invalid_samples_do_not_count():
  """A third of all samples is lost at random: the end is the same."""

  def judge(x0, prompts):
    scores = WORLD.scores(x0, prompts)
    lost = jnp.abs(jnp.sin(1e4 * x0[..., 0])) < 0.5
    return Scores(jnp.where(lost, jnp.nan, scores.rewards), ~lost, {})

  values, weigh = ONLINE['adrpo']
  wanted = fixed_point(WORLD, 0, weigh)
  (run,) = train(WORLD, lambda: make_method('adrpo', **values), judge=judge)
  assert run.finite.all()
  assert share(run.samples[0]) == pytest.approx(
    share(wanted.samples), abs=TOLERANCE
  )


def test_rwr_on_samples_of_the_base_tilts_by_exp_of_reward():
  temperature = 0.5
  (run,) = train(
    WORLD,
    lambda: make_method('rwr', temperature=temperature),
    steps=400,
    prompts=32,
    offline=True,
  )
  odds = np.exp(1 / temperature)
  assert share(run.samples[0]) == pytest.approx(odds / (1 + odds), abs=0.03)


def test_raft_on_samples_of_the_base_has_the_density_of_the_best():
  group = 8
  world = WORLD._replace(rewards=(lambda x: -((x - 1) ** 2),))
  (run,) = train(
    world,
    lambda: make_method('raft'),
    steps=400,
    prompts=128,
    group=group,
    offline=True,
  )
  random = np.random.default_rng(0)
  drawn = random.choice([-1.5, 1.5], (100_000, group))
  drawn += BASE.std * random.normal(size=drawn.shape)
  closest = np.argmin((drawn - 1) ** 2, axis=1)
  best = drawn[np.arange(len(drawn)), closest]
  assert run.samples[0].mean() == pytest.approx(best.mean(), abs=0.1)
  assert run.samples[0].std() == pytest.approx(best.std(), abs=0.05)


def test_dpo_moves_to_the_winners_and_the_less_the_larger_beta():
  """It has no closed form: the direction, and the pull of the reference."""
  shares = [
    share(run.samples[0])
    for run in train(
      WORLD,
      lambda beta: make_method('dpo', beta=beta),
      [(1.0,), (10.0,), (100.0,)],
      prompts=256,
      group=2,
      offline=True,
    )
  ]
  assert all(a > b + TOLERANCE for a, b in itertools.pairwise([*shares, 0.5]))


def test_flow_grpo_tilts_by_its_kl_and_not_beyond():
  """Exact tilting, logit p = 1/(β·std), needs more than ten Gaussian steps."""
  betas = (1.0, 2.0, 4.0)
  runs = train(
    WORLD,
    lambda beta: make_method('flow_grpo', beta=beta),
    [(beta,) for beta in betas],
    transition=solvers.flow_sde(0.7),
  )
  shares = [share(run.samples[0]) for run in runs]
  for beta, p in zip(betas, shares, strict=True):
    exact = 1 / (beta * np.sqrt(p * (1 - p)))
    assert 0.5 * exact < np.log(p / (1 - p)) < exact
  assert all(a > b + TOLERANCE for a, b in itertools.pairwise([*shares, 0.5]))
