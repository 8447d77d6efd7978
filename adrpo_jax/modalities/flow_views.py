"""The noisy latents at which a flow loss is evaluated.

A view chooses the noisy latents, S for every sample, and turns the velocities
there into the record that the functions of a method read.
`renoised` puts fresh noise on final samples (the forward process), `replayed`
goes back to stored solver transitions (the reverse process).
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from adrpo_jax.sampling import noise_levels, paths, solvers
from adrpo_jax.types import (
  Array,
  Metrics,
  PyTree,
  Renoised,
  Trajectory,
  append_axes,
)

Record: TypeAlias = Renoised | Trajectory
# (v, anchors' v) -> what the method's functions read, and further metrics.
Finish: TypeAlias = Callable[[Array, dict[str, Array]], tuple[Record, Metrics]]
# (samples, keys [P, G]) -> x [P, G, S, *D], sigma [P, G, S], u like x, finish.
View: TypeAlias = Callable[[PyTree, Array], tuple[Array, Array, Array, Finish]]

# Numbers that are folded into the key of a sample, one for each use.
INITIAL, SOLVER, SIGMA, NOISE = range(4)


def own_keys(keys: Array) -> Array:
  """Gives every sample its own ε and σ. [P, G] -> [P, G]"""
  return keys


def prompt_keys(keys: Array) -> Array:
  """Gives the samples of a prompt one ε and σ. [P, G] -> [P, 1]"""
  return keys[:, :1]


def renoised(
  draws: int,
  quantile: noise_levels.Quantile,
  noise_keys: Callable[[Array], Array] = own_keys,
) -> View:
  """S draws of x_σ = (1−σ)·x₀ + σ·ε from the key of each sample.

  σ is stratified over the S draws, see `noise_levels.stratified`.
  """

  def draw(key, latent_shape):
    sigma_key = jax.random.fold_in(key, SIGMA)
    noise_key = jax.random.fold_in(key, NOISE)
    noise = jax.random.normal(noise_key, (draws,) + latent_shape)
    return noise_levels.stratified(sigma_key, draws, quantile), noise

  def view(samples, keys):
    x0 = samples['x0'].astype(jnp.float32)[:, :, None]
    each = jax.vmap(jax.vmap(lambda key: draw(key, x0.shape[3:])))
    sigma, noise = each(noise_keys(keys))
    x = paths.interpolate(x0, noise, sigma)
    target = paths.velocity_target(x0, noise)
    sigma = jnp.broadcast_to(sigma, x.shape[:3])

    def finish(v, anchors):
      return Renoised(x0, sigma, x, target, v, anchors), {}

    return x, sigma, target, finish

  return view


def replayed(transition: solvers.Transition) -> View:
  """The stored transitions, with the log-probability of the rollout.

  Its u is (x − x₀)/σ, the velocity that leads straight to the final sample.
  Metric `log_prob_difference` is |log p − log p_old|: zero to rounding while
  the parameters are still those of the rollout.
  """

  def view(samples, keys):
    del keys
    x, sigma, x_next = samples['x'], samples['sigma'], samples['x_next']
    sigma_next, old = samples['sigma_next'], samples['log_prob']
    target = x - samples['x0'][:, :, None]
    target = target / append_axes(sigma, x)

    def mean(velocity):
      return transition.mean(lambda *_: velocity, x, sigma, sigma_next)

    def finish(v, anchors):
      mu, std = mean(v), transition.std(sigma, sigma_next)
      log_prob = solvers.log_prob(transition, x_next, mu, std)
      means = {name: mean(velocity) for name, velocity in anchors.items()}
      outputs = Trajectory(log_prob, old, mu, std, means)
      return outputs, {'log_prob_difference': jnp.abs(log_prob - old)}

    return x, sigma, target, finish

  return view
