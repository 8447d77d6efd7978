"""Flow matching as a modality: rollout by a solver, losses on its samples.

prompts: `types.PromptBatch`, whose condition and index are read.
frozen: {'reference': full parameters, 'autoencoder': its parameters,
  'null_condition': a condition without batch axis, for guidance only}.
samples: {'x0': [P, G, *D]} and, for trajectory methods, the fields of
  `solvers.Steps`, [P, G, N, ...], all float32.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from adrpo_jax.diagnostics import Mean
from adrpo_jax.method.divergences import mean_square
from adrpo_jax.method.record import Method, select_anchors
from adrpo_jax.modalities import flow_views
from adrpo_jax.modalities.flow_settings import (
  FlowSettings,
  Solve,
  solve_of,
  view_of,
)
from adrpo_jax.sampling import guidance
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.types import (
  Array,
  LossTerms,
  Metrics,
  Modality,
  PromptBatch,
  PyTree,
  Weights,
)

BUCKETS = 4  # of σ, for the divergence by time


def make_modality(method: Method, settings: FlowSettings) -> Modality:
  """Makes the functions of a flow-matching model for one method.

  Raises:
    ValueError: for a trajectory method, a deterministic transition or two
      different guidance scales.
  """
  view, solve = view_of(method, settings), solve_of(method, settings)
  return Modality(
    rollout=partial(rollout, settings, solve),
    decode=partial(decode, settings),
    loss_terms=partial(loss_terms, method, settings, view),
    measures=image_measures,
    entries=partial(entries, settings),
  )


def rollout(
  settings: FlowSettings,
  solve: Solve,
  params: PyTree,
  frozen: PyTree,
  prompts: PromptBatch,
  key: Array,
) -> dict[str, Array]:
  """Draws G samples of each prompt; see `types.Modality`."""
  count = settings.samples_per_prompt
  groups = (jax.tree.leaves(prompts.condition)[0].shape[0], count)
  keys = sample_keys(key, *groups, prompts.index)
  keys = settings.constrain(_rows(keys, 2))
  condition = settings.constrain(_repeat(prompts.condition, count))
  full = settings.gather(settings.materialize(params, frozen))
  model = _guided(settings, settings.rollout_guidance, frozen)

  def field(x, sigma):
    return model(full, x, sigma, condition)

  initial_keys = _fold(keys, flow_views.INITIAL)
  noise = settings.constrain(_normal(initial_keys, settings.latent_shape))
  solved = solve(field, noise, _fold(keys, flow_views.SOLVER))
  return jax.tree.map(lambda leaf: _groups(leaf, groups), solved)


def loss_terms(
  method: Method,
  settings: FlowSettings,
  view: flow_views.View,
  params: PyTree,
  frozen: PyTree,
  anchors: PyTree,
  samples: PyTree,
  prompts: PromptBatch,
  weights: Weights,
  keys: Array,
) -> LossTerms:
  """Computes the terms of a method's loss; see `types.Modality`."""
  x, sigma, target, finish = view(samples, keys)
  condition = _repeat(prompts.condition, x.shape[1] * x.shape[2])
  rows = settings.constrain((_rows(x, 3), _rows(sigma, 3), condition))
  model = _guided(settings, settings.training_guidance, frozen)

  def velocity_of(full):
    return _groups(model(full, *rows), x.shape[:3]).astype(jnp.float32)

  v = velocity_of(settings.materialize(params, frozen))
  constants = {
    name: jax.lax.stop_gradient(velocity_of(full))
    for name, full in select_anchors(method, anchors).items()
  }
  outputs, metrics = finish(v, constants)
  measured: dict[str, Any] = metrics | {'policy': mean_square(v, target)}
  if 'reference' in constants:
    divergence = mean_square(v, constants['reference'])
    measured |= {
      'divergence': divergence,
      'divergence_by_sigma': by_sigma(divergence, sigma),
    }
  return LossTerms(
    policy=method.policy_loss(outputs, weights),
    divergences=tuple(
      term.entries(outputs, weights) for term in method.divergences
    ),
    mask=jnp.ones_like(sigma),
    metrics=measured,
  )


def decode(settings: FlowSettings, frozen: PyTree, samples: PyTree) -> Array:
  """Decodes final latents. -> images [P, G, H, W, 3]"""
  x0 = samples['x0']
  rows = settings.constrain(_rows(x0, 2))
  return _groups(settings.decode(frozen['autoencoder'], rows), x0.shape[:2])


def entries(settings: FlowSettings, samples: PyTree) -> Array:
  """The noise levels at which a loss looks at each sample. -> [P, G]"""
  groups = samples['x0'].shape[:2]
  steps = samples['sigma'].shape[2] if 'sigma' in samples else settings.draws
  return jnp.full(groups, steps)


def image_measures(images: Array) -> Metrics:
  """Measures how the images of a prompt differ. -> name -> [P]"""
  return {'diversity_pixel': pixel_diversity(images)}


def by_sigma(values: Array, sigma: Array) -> Mean:
  """The mean of values [P, G, S] in each of `BUCKETS` equal intervals of σ."""
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


def _guided(settings, scale, frozen):
  null = frozen.get('null_condition')
  return guidance.guided(settings.velocity, scale, null)


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
