"""Flow matching as a modality: rollout by a solver, losses on its samples.

prompts: `types.PromptBatch`, whose condition and index are read.
frozen: {'reference': full parameters, 'autoencoder': its parameters,
  'null_condition': a condition without batch axis, for guidance only}.
samples: {'x0': [P, G, *D]} and, for trajectory methods, the fields of
  `solvers.Steps`, [P, G, N, ...], all float32.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.diagnostics import Mean
from adrpo_jax.method.divergences import mean_square
from adrpo_jax.method.record import Method, given_anchors
from adrpo_jax.modalities import flow_views
from adrpo_jax.sampling import guidance, noise_levels, solvers
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.types import Array, LossTerms, Modality, PyTree

BUCKETS = 4  # of σ, for the divergence by time


def make(
  method: Method,
  velocity: guidance.Velocity,
  decode: Callable[[PyTree, Array], Array],
  *,
  latent_shape: tuple[int, ...],
  samples_per_prompt: int,
  sigmas: np.ndarray,
  transition: solvers.Transition | None = None,
  trained_steps: Sequence[int] | None = None,
  draws: int = 1,
  quantile: noise_levels.Quantile = noise_levels.uniform,
  rollout_guidance: float = 1.0,
  training_guidance: float = 1.0,
  materialize: Callable[[PyTree, PyTree], PyTree] = lambda params, _: params,
  constrain: Callable[[Any], Any] = lambda rows: rows,
) -> Modality:
  """The functions of a flow-matching model for one method.

  Args:
    method: a row of the table; its policy loss, divergences, anchors and
      needs are read.
    velocity: (full parameters, x [B, *D], sigma [B], condition [B, ...]) -> v
      [B, *D].
    decode: (autoencoder parameters, latents [B, *D]) -> images [B, H, W, 3].
    latent_shape: *D.
    samples_per_prompt: G of the rollout. `loss_terms` reads G off its keys.
    sigmas: [N + 1], the solver's grid from 1 downwards.
    transition: the solver's step, Euler by default. Methods that look at the
      trajectory need a stochastic one.
    trained_steps: the solver steps that trajectory methods store and learn
      from; by default all that add noise.
    draws: S, noise levels per sample of a renoised loss.
    quantile: the distribution of these levels, stratified over S.
    rollout_guidance: w of the rollout, 1 for none.
    training_guidance: w of the loss, for the policy and its anchors alike.
    materialize: (params, frozen) -> full parameters: the identity, or base
      and adapters under LoRA.
    constrain: puts a pytree whose leaves lead with rows onto the mesh, rows
      split over its devices; the identity on one device.

  Raises:
    ValueError: a grid that does not fall from 1; for a trajectory method, a
      deterministic transition or two different guidance scales.
  """
  transition = transition or solvers.euler()
  sigmas = _checked_grid(sigmas)
  guidance.check_scale(rollout_guidance)
  guidance.check_scale(training_guidance)
  _check_counts(samples_per_prompt, draws)
  solver: Callable[..., dict[str, Array]] = _final_sample
  view: flow_views.View
  if 'trajectory' in method.needs:
    _check_same_guidance(method, rollout_guidance, training_guidance)
    steps = _checked_steps(trained_steps, sigmas, transition)
    solver = partial(_sample_and_steps, trained_steps=steps)
    view = flow_views.replayed(transition)
  elif 'shared_noise' in method.needs:
    view = flow_views.renoised(draws, quantile, flow_views.prompt_keys)
  else:
    view = flow_views.renoised(draws, quantile)

  def rollout(params, frozen, prompts, key):
    condition = prompts.condition
    groups = (jax.tree.leaves(condition)[0].shape[0], samples_per_prompt)
    keys = sample_keys(key, *groups, prompts.index)
    keys = constrain(_rows(keys, 2))
    condition = constrain(_repeat(condition, samples_per_prompt))
    full = materialize(params, frozen)
    model = _guided(velocity, rollout_guidance, frozen)

    def field(x, sigma):
      return model(full, x, sigma, condition)

    noise = constrain(_normal(_fold(keys, flow_views.INITIAL), latent_shape))
    solver_keys = _fold(keys, flow_views.SOLVER)
    solved = solver(field, noise, sigmas, transition, solver_keys)
    return jax.tree.map(lambda leaf: _groups(leaf, groups), solved)

  def loss_terms(params, frozen, anchors, samples, prompts, weights, keys):
    x, sigma, target, finish = view(samples, keys)
    condition = _repeat(prompts.condition, x.shape[1] * x.shape[2])
    rows = constrain((_rows(x, 3), _rows(sigma, 3), condition))
    model = _guided(velocity, training_guidance, frozen)

    def velocity_of(full):
      return _groups(model(full, *rows), x.shape[:3]).astype(jnp.float32)

    v = velocity_of(materialize(params, frozen))
    constants = {
      name: jax.lax.stop_gradient(velocity_of(full))
      for name, full in given_anchors(method, anchors).items()
    }
    outputs, metrics = finish(v, constants)
    metrics = metrics | {'policy': mean_square(v, target)}
    if 'reference' in constants:
      divergence = mean_square(v, constants['reference'])
      metrics |= {
        'divergence': divergence,
        'divergence_by_sigma': by_sigma(divergence, sigma),
      }
    return LossTerms(
      policy=method.policy_loss(outputs, weights),
      divergences=tuple(
        term.entries(outputs, weights) for term in method.divergences
      ),
      mask=jnp.ones_like(sigma),
      metrics=metrics,
    )

  def decode_samples(frozen, samples):
    x0 = samples['x0']
    images = decode(frozen['autoencoder'], constrain(_rows(x0, 2)))
    return _groups(images, x0.shape[:2])

  def entries(samples):
    groups = samples['x0'].shape[:2]
    levels = samples['sigma'].shape[2] if 'sigma' in samples else draws
    return jnp.full(groups, levels)

  def measures(images):
    return {'diversity_pixel': pixel_diversity(images)}

  return Modality(rollout, decode_samples, loss_terms, measures, entries)


def by_sigma(values: Array, sigma: Array) -> Mean:
  """The mean in each of `BUCKETS` of equal width in σ. [P, G, S] twice"""
  bucket = jnp.clip(sigma * BUCKETS, 0, BUCKETS - 1).astype(int)
  return Mean(values[..., None], jax.nn.one_hot(bucket, BUCKETS))


def pixel_diversity(images: Array) -> Array:
  """Mean over pairs of a prompt's samples of √⟨(a − b)²⟩ over pixels.

  [P, G, *] -> [P], in the units of the images; 0 for a group of one. Counts
  wrong colors as diversity: see the judge for diversity of what is free.
  """
  flat = images.reshape(images.shape[:2] + (-1,)).astype(jnp.float32)
  flat = flat - flat.mean(1, keepdims=True)  # equal images: exactly 0
  products = jnp.einsum('pgd,phd->pgh', flat, flat) / flat.shape[-1]
  squares = jnp.diagonal(products, axis1=1, axis2=2)
  gaps = squares[:, :, None] + squares[:, None] - 2 * products
  distances = jnp.sqrt(jnp.maximum(gaps, 0.0))  # 0 on the diagonal: s + s − 2s
  pairs = flat.shape[1] * (flat.shape[1] - 1)
  return distances.sum((1, 2)) / max(pairs, 1)


def _final_sample(field, x, sigmas, transition, keys):
  return {'x0': solvers.solve(field, x, sigmas, transition, keys)}


def _sample_and_steps(field, x, sigmas, transition, keys, *, trained_steps):
  x0, steps = solvers.record(field, x, sigmas, transition, keys)
  stored = jax.tree.map(lambda leaf: leaf[:, trained_steps], steps)
  return {'x0': x0} | stored._asdict()


def _guided(velocity, scale, frozen):
  return guidance.guided(velocity, scale, frozen.get('null_condition'))


def _rows(array, leading):
  return array.reshape((-1,) + array.shape[leading:])


def _groups(rows, leading):
  return rows.reshape(leading + rows.shape[1:])


def _repeat(condition, times):
  return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), condition)


def _fold(keys, number):
  return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def _normal(keys, shape):
  return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def _checked_grid(sigmas):
  sigmas = np.asarray(sigmas, np.float32)
  falls = sigmas.ndim == 1 and len(sigmas) > 1 and np.all(np.diff(sigmas) < 0)
  if not (falls and sigmas[0] == 1 and sigmas[-1] >= 0):
    raise ValueError(
      'Expected noise levels that fall from 1 to 0 or above, got '
      f'{sigmas.tolist()}. Use sampling.shifted_sigmas(steps, shift).'
    )
  return sigmas


def _checked_steps(steps, sigmas, transition):
  """Indices of solver steps, all of which add noise."""
  if transition.log_density is None:
    raise ValueError(
      'Expected a stochastic transition for a method that needs the '
      'log-probabilities of a trajectory, got a deterministic one. Use '
      'flow_sde(eta) or cps(eta) with eta > 0.'
    )
  noisy = np.flatnonzero(transition.std(sigmas[:-1], sigmas[1:]) > 0)
  steps = noisy if steps is None else np.asarray(steps, int)
  if not len(steps) or not set(steps) <= set(noisy):
    raise ValueError(
      f'Expected trained_steps among the steps that add noise, '
      f'{noisy.tolist()}, got {steps.tolist()}.'
    )
  return steps


def _check_same_guidance(method, rollout_guidance, training_guidance):
  if rollout_guidance != training_guidance:
    raise ValueError(
      f'Expected one guidance scale for {method.name}, whose ratios compare '
      f'training with the rollout, got {rollout_guidance} in the rollout and '
      f'{training_guidance} in training. Set both to the same value.'
    )


def _check_counts(samples_per_prompt, draws):
  if samples_per_prompt < 1 or draws < 1:
    raise ValueError(
      'Expected at least one sample per prompt and one noise draw per sample, '
      f'got samples_per_prompt={samples_per_prompt}, draws={draws}.'
    )
