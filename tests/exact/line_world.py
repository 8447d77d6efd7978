"""Worlds on a line: a Gaussian mixture, its exact velocity, a model, a loop.

The model is the reference velocity plus a table of shifts, zero at the start,
with a row of knots for every noise level of the solver: it can become any
velocity. Noise levels are drawn from those of the solver, so that theory
(`fixed_points.py`) and training speak of the same numbers. The loop is made of
the pieces of the package, and compiled whole.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adrpo_jax import update
from adrpo_jax.method.record import Method
from adrpo_jax.modalities import flow
from adrpo_jax.modalities.flow_settings import FlowSettings
from adrpo_jax.sampling import noise_levels, solvers
from adrpo_jax.types import PromptBatch, Scores

STEPS = 10  # of the solver
SIGMAS = noise_levels.uniform_sigmas(STEPS)
LEVELS = SIGMAS[:-1]  # where the solver asks for velocities
# Programs so small run no faster at level 3, and compile twice as long.
QUICKLY = {'xla_backend_optimization_level': 1}


class Mixture(NamedTuple):
  """The density Σ weight·N(mean, std²) of clean samples."""

  weights: tuple[float, ...]
  means: tuple[float, ...]
  std: float

  def velocity(self, x, sigma, xp=jnp):
    """E[u | x_σ = x] = (x − E[x₀ | x])/σ by Bayes' rule. x, sigma [B]"""
    log_weights = xp.log(xp.asarray(self.weights))[None]
    means = xp.asarray(self.means)[None]
    x, sigma = x[:, None], sigma[:, None]
    variance = (1 - sigma) ** 2 * self.std**2 + sigma**2
    gap = x - (1 - sigma) * means
    clean = means + (1 - sigma) * self.std**2 / variance * gap
    logits = log_weights - gap**2 / (2 * variance)
    shares = xp.exp(logits - logits.max(1, keepdims=True))
    shares = shares / shares.sum(1, keepdims=True)
    return ((x - clean) * shares).sum(1) / sigma[:, 0]


class World(NamedTuple):
  """A reference, what each kind of prompt rewards, and the model's knots.

  The prompts of a batch take the kinds in turn; a reward is a function of x₀.
  The table is linear between its evenly spaced knots and beyond them.
  """

  reference: Mixture
  rewards: tuple[Callable, ...]
  reach: float
  knots: int

  def places(self):
    """Where the knots are. [knots]"""
    return np.linspace(-self.reach, self.reach, self.knots)

  def table(self):
    """The parameters of the reference. [kinds, levels, knots]"""
    return jnp.zeros((len(self.rewards), STEPS, self.knots))

  def velocity(self, table, x, sigma, kind):
    """v = v_ref − shift/σ: a shift of the clean estimate. x [B, 1]"""
    level, x = jnp.round((1 - sigma) * STEPS).astype(int), x[:, 0]
    place = (x / self.reach + 1) * (self.knots - 1) / 2
    left = jnp.clip(jnp.floor(place), 0, self.knots - 2).astype(int)
    share = place - left
    shift = (1 - share) * table[kind, level, left]
    shift += share * table[kind, level, left + 1]
    return (self.reference.velocity(x, sigma) - shift / sigma)[:, None]

  def velocity_at_knots(self, table, kind):
    """What `velocity` is there, in float64. -> [levels, knots]"""
    shift = np.asarray(table, float)[kind] / LEVELS[:, None]
    return self.reference_at_knots() - shift

  def reference_at_knots(self):
    """[levels, knots]"""
    return np.stack(
      [
        self.reference.velocity(
          self.places(), np.full(self.knots, level, float), np
        )
        for level in LEVELS
      ]
    )

  def prompts(self, count):
    kind = jnp.arange(count) % len(self.rewards)
    return PromptBatch.of_step(jnp.arange(count), kind, kind)

  def scores(self, x0, prompts):
    """x₀ [P, G, 1] -> Scores of [P, G]."""
    each = jnp.stack([reward(x0) for reward in self.rewards], axis=-1)
    asked = jax.nn.one_hot(prompts.facts, len(self.rewards))
    rewards = jnp.sum(each * asked[:, None, None], axis=(2, 3))
    return Scores(rewards, jnp.ones(rewards.shape, bool), {})


class Run(NamedTuple):
  """A finished training, and what every step saw.

  table:   the trained parameters
  samples: rolled out by them, each kind by itself [kinds, n]
  rewards: mean of each kind's rollout [T, kinds]
  losses:  [T]
  finite:  [T] bool
  """

  table: np.ndarray
  samples: np.ndarray
  rewards: np.ndarray
  losses: np.ndarray
  finite: np.ndarray


def solver_levels(quantiles):
  """σ, each noise level at which the solver stands equally often."""
  index = jnp.clip(quantiles * STEPS, 0, STEPS - 1).astype(int)
  return jnp.asarray(LEVELS)[index]


def train(
  world: World,
  row: Callable[..., Method],
  cases: Sequence[tuple[float, ...]] = ((),),
  *,
  steps: int = 300,
  prompts: int = 8,
  group: int = 64,
  rate: float = 0.03,
  settle: bool = True,
  transition: solvers.Transition | None = None,
  judge: Callable | None = None,
  offline: bool = False,
) -> list[Run]:
  """Rollout, reward and update, `steps` times, for every case at once.

  Args:
    row: the values of a case -> the method.
    rate: of Adam; it falls to zero along a cosine, so that noise averages
      out, unless `settle` is False.
    judge: (x₀, prompts) -> Scores, `world.scores` by default.
    offline: every step trains on the one rollout of the base.
  """
  judge = judge or world.scores
  batch = world.prompts(prompts)
  kinds = len(world.rewards)
  frozen = {'reference': world.table(), 'autoencoder': None}
  optimizer = optax.adam(
    optax.cosine_decay_schedule(rate, steps) if settle else rate, b2=0.99
  )

  def by_kind(values):
    return jnp.moveaxis(values.reshape(-1, kinds, group), 1, 0)

  def trained(values, keys, base_key):
    method = row(*values)
    with jax.ensure_compile_time_eval():  # It looks at the noise of its steps.
      settings = FlowSettings(
        velocity=world.velocity,
        decode=lambda _, latents: latents,
        latent_shape=(1,),
        samples_per_prompt=group,
        sigmas=SIGMAS,
        transition=transition or solvers.euler(),
        draws=4,
        quantile=solver_levels,
      )
      modality = flow.make_modality(method, settings)
    advance = update.make_update(
      method,
      modality,
      optimizer,
      updates_per_rollout=1,
      microbatches=1,
      averaging_decay=None,
      materialize=lambda params, _: params,
    )

    def rollout(params, key):
      samples = modality.rollout(params, frozen, batch, key)
      return samples, modality.decode(frozen, samples)

    def step(state, key):
      samples, x0 = base or rollout(update.behavior_params(method, state), key)
      scores = judge(x0, batch)
      key = jax.random.fold_in(key, 1)
      state, metrics = advance(state, frozen, samples, scores, batch, key)
      seen = by_kind(jnp.where(scores.valid, scores.rewards, 0.0))
      counted = by_kind(scores.valid.astype(jnp.float32)).sum((1, 2))
      reward = seen.sum((1, 2)) / counted
      return state, (reward, metrics['loss'], metrics['finite'])

    base = rollout(frozen['reference'], base_key) if offline else None
    start = world.table()
    groups = (prompts, group)
    state = update.init_state(start, method, optimizer, groups, averaged=False)
    state, seen = jax.lax.scan(step, state, keys)
    x0 = jax.lax.map(lambda key: rollout(state.params, key)[1], keys[:16])
    return Run(state.params, by_kind(x0).reshape(kinds, -1), *seen)

  whole = jax.jit(
    jax.vmap(trained, in_axes=(0, None, None)), compiler_options=QUICKLY
  )
  values = tuple(jnp.array(column) for column in zip(*cases, strict=True))
  if not values:
    values = (jnp.zeros(1),)
    row_of_none, row = row, lambda _: row_of_none()
  keys = jax.random.split(jax.random.key(0), steps)
  runs = jax.tree.map(np.asarray, whole(values, keys, jax.random.key(1)))
  return [
    jax.tree.map(lambda leaf, case=case: leaf[case], runs)
    for case in range(len(cases))
  ]
