"""Online ADRPO holds while advantages stay below β₀, and runs away above it."""

import jax.numpy as jnp
from line_world import Mixture, World, train

from adrpo_jax.method.methods import make_method


def test_samples_widen_for_ever_once_advantages_exceed_beta0():
  """v − v_ref = Cov(A, u|x) / (β₀ − E[A|x]) has no value there."""
  world = World(Mixture((1.0,), (0.0,), 1.0), (jnp.abs,), reach=16.0, knots=129)
  guarded, unguarded = (
    run.rewards[:, 0]
    for run in train(
      world,
      lambda ratio: make_method(
        'adrpo', beta0=0.25, advantage_clip=ratio, allow_unstable=True
      ),
      [(0.9,), (6.0,)],
      steps=400,
      settle=False,
    )
  )
  halfway, end = slice(180, 200), slice(-20, None)
  assert abs(guarded[end].mean() - guarded[halfway].mean()) < 0.15
  assert unguarded[end].mean() > unguarded[halfway].mean() + 0.4
  assert unguarded[end].mean() > 1.6 * guarded[end].mean()
