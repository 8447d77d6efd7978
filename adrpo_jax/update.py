"""One training step: weights, loss, gradients, optimizer. One jitted function.

  loss = Σ scale·mask·(w_policy·ℓ_policy + Σ_k w_k·D_k)

over the global batch. The scale of a sample is the aggregation of its method,
for a plain mean 1 / (valid samples · entries of each). It is computed before
microbatching, and every sample draws noise from its own key, so the size of a
microbatch does not change the result. If a loss or gradient is not finite, the
step leaves the state unchanged.

Where devices share the weights, an update may gather them once, in the dtype of
the products, for all of its microbatches. A gradient is that of the gathered
copy; each device keeps its share of it, in the dtype of the weights.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adrpo_jax import diagnostics
from adrpo_jax.method.record import Method, anchors, divergence_weights
from adrpo_jax.method.transforms import weigh
from adrpo_jax.sampling.keys import sample_keys
from adrpo_jax.types import (
  Array,
  Metrics,
  Modality,
  PyTree,
  Scores,
  TrainState,
  Weights,
  append_axes,
)


class Gathering(NamedTuple):
  """How an update reads weights that devices share.

  gather:  (full or trained parameters) -> a copy that each device has whole
  scatter: (gradients of such a copy) -> those of the parameters, shared
  """

  gather: Callable[[PyTree], PyTree]
  scatter: Callable[[PyTree], PyTree]


# Reads them as they are.
WHOLE = Gathering(lambda params: params, lambda gradients: gradients)


def init_state(
  params: PyTree,
  method: Method,
  optimizer: optax.GradientTransformation,
  groups: tuple[int, int],
  *,
  averaged: bool,
  moving_reference: bool = False,
) -> TrainState:
  """Makes the state before the first step. groups = (P, G)."""
  template = Weights(jnp.zeros(groups), jnp.zeros(groups))

  def copy(wanted: bool) -> PyTree | None:
    return jax.tree.map(jnp.copy, params) if wanted else None

  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    optimizer=optimizer.init(params),
    transform=method.weights.init(template),
    ema=copy(method.ema_decay is not None),
    old=copy(method.old_decay is not None),
    averaged=copy(averaged),
    reference=copy(moving_reference),
  )


def make_update(
  method: Method,
  modality: Modality,
  optimizer: optax.GradientTransformation,
  *,
  updates_per_rollout: int,
  microbatches: int,
  averaging_decay: optax.Schedule | None,
  materialize: Callable[[PyTree, PyTree], PyTree],
  gathering: Gathering = WHOLE,
  reference_sync_steps: int = 0,
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Makes (state, frozen, samples, scores, prompts, key) -> (state, metrics).

  It takes `updates_per_rollout` optimizer steps on the same samples, each with
  fresh noise, and accumulates the gradients of each over `microbatches` equal
  parts of the P prompts.

  Args:
    method: its weights, loss and divergences.
    modality: the functions of the model.
    optimizer: of the trained parameters.
    updates_per_rollout: optimizer steps on the same samples.
    microbatches: parts of each.
    averaging_decay: of averaged parameters; None for none.
    materialize: (params, frozen) -> full parameters.
    gathering: of weights that devices share, for all microbatches.
    reference_sync_steps: steps after which the averaged policy becomes the
      reference of a state that keeps one; the policy, if nothing is averaged.
  """
  gather = gathering.gather

  def update(state, frozen, samples, scores: Scores, prompts, key):
    valid = method.usable(scores.rewards, scores.valid)
    weights, transform = weigh(
      method.weights,
      scores.rewards,
      valid,
      state.transform,
      step=state.step,
      prompt_ids=prompts.ids,
    )
    term_weights = divergence_weights(method, weights, valid)
    frozen = frozen | {'reference': gather(frozen['reference'])}
    copies = {
      name: copy if copy is frozen['reference'] else gather(copy)
      for name, copy in _anchor_parameters(
        method, state, frozen, materialize
      ).items()
    }
    scale = method.aggregation(modality.entries(samples), valid)
    loss = partial(_loss, modality, frozen, copies)

    def inner(carry, inner_key):
      params, optimizer_state = carry
      keys = sample_keys(inner_key, *scores.rewards.shape)
      batch = samples, prompts, scale, weights, term_weights, keys
      (value, totals), grads = _accumulated(
        _gradient(loss, gathering.scatter), gather(params), batch, microbatches
      )
      change, optimizer_state = optimizer.update(grads, optimizer_state, params)
      norms = optax.tree.norm(grads), optax.tree.norm(change)
      params = optax.apply_updates(params, change)
      return (params, optimizer_state), (value, totals, *norms)

    inner_keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(
      jnp.arange(updates_per_rollout)
    )
    (params, optimizer_state), (values, totals, grad_norms, update_norms) = (
      jax.lax.scan(inner, (state.params, state.optimizer), inner_keys)
    )
    new = TrainState(
      step=state.step + 1,
      params=params,
      optimizer=optimizer_state,
      transform=transform,
      **_updated_copies(
        method, state, params, averaging_decay, reference_sync_steps
      ),
    )
    finite = jnp.isfinite(values).all() & jnp.isfinite(grad_norms).all()
    result = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
    metrics = (
      diagnostics.results(diagnostics.over_updates(totals))
      | _replay(totals)
      | {
        'loss': values.mean(),
        'grad_norm': grad_norms.mean(),
        'update_norm': update_norms.mean(),
        'finite': finite,
        'counted': valid.sum() / valid.size,
        'weights': weights,
        'beta': term_weights[0]
        if term_weights
        else jnp.zeros_like(weights.policy),
        'usable': valid,
      }
    )
    return result, metrics

  return update


def _loss(
  modality: Modality,
  frozen: Any,
  copies: Mapping[str, PyTree],
  params: PyTree,
  part: tuple[Any, ...],
) -> tuple[Array, PyTree]:
  """Returns Σ scale·mask·(w_policy·ℓ_policy + Σ_k w_k·D_k) of a part.

  Beside it come the totals of the diagnostics. copies: the parameters of the
  anchors by name.
  """
  samples, prompts, scale, weights, term_weights, keys = part
  terms = modality.loss_terms(
    params, frozen, copies, samples, prompts, weights, keys
  )
  mask = terms.mask * append_axes(scale > 0, terms.mask)
  entry = append_axes(weights.policy, mask) * terms.policy
  for weight, divergence in zip(term_weights, terms.divergences, strict=True):
    entry += append_axes(weight, mask) * divergence
  value = jnp.sum(append_axes(scale, mask) * mask * entry)
  return value, diagnostics.totals(terms.metrics, mask)


def behavior_params(method: Method, state: TrainState) -> PyTree:
  """Returns the parameters that sample: the policy's or their older copy."""
  return state.old if method.behavior == 'old' else state.params


def _anchor_parameters(
  method: Method, state: TrainState, frozen: Any, materialize: Callable
) -> dict[str, PyTree]:
  """Returns the full parameters of the method's anchors and the reference."""
  copies = {'old': state.old, 'ema': state.ema}
  named = {
    name: materialize(copies[name], frozen)
    for name in anchors(method)
    if name != 'reference'
  }
  if state.reference is None:
    return named | {'reference': frozen['reference']}
  return named | {'reference': materialize(state.reference, frozen)}


def _gradient(loss: Callable, scatter: Callable[[PyTree], PyTree]) -> Callable:
  """Makes (params, part) -> (value and diagnostics, shared gradients)."""
  gradient = jax.value_and_grad(loss, has_aux=True)

  def shared(params: PyTree, part: PyTree) -> tuple[Any, PyTree]:
    value, grads = gradient(params, part)
    return value, scatter(grads)

  return shared


def _accumulated(
  gradient: Callable, params: PyTree, batch: PyTree, parts: int
) -> tuple[Any, PyTree]:
  """Sums value, diagnostics and gradients of a loss over parts of prompts.

  A part takes every parts-th prompt, so that it spans all devices.
  """
  if parts == 1:
    return gradient(params, batch)

  def split(leaf):
    return leaf.reshape(-1, parts, *leaf.shape[1:]).swapaxes(0, 1)

  def add(total, part):
    (value, totals), grads = total
    (more, others), further = gradient(params, part)
    totals = diagnostics.merged(totals, others)
    grads = jax.tree.map(jnp.add, grads, further)
    return ((value + more, totals), grads), None

  parts_of_batch = jax.tree.map(split, batch)
  first = jax.tree.map(lambda leaf: leaf[0], parts_of_batch)
  shapes = jax.eval_shape(gradient, params, first)
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  return jax.lax.scan(add, zeros, parts_of_batch)[0]


def _updated_copies(
  method: Method,
  state: TrainState,
  params: PyTree,
  averaging_decay: optax.Schedule | None,
  reference_sync_steps: int,
) -> dict[str, PyTree | None]:
  """Returns the copies of a policy that a state keeps, after a step."""
  averaged = _towards(state.averaged, params, averaging_decay, state.step)
  return {
    'ema': _towards(state.ema, params, method.ema_decay, state.step),
    'old': _towards(state.old, params, method.old_decay, state.step),
    'averaged': averaged,
    'reference': _synchronized(
      state.reference,
      params if averaged is None else averaged,
      state.step + 1,
      reference_sync_steps,
    ),
  }


def _replay(totals: Mapping[str, Any]) -> Metrics:
  """Returns |log p − log p_old| before the first update, which is rounding."""
  first = diagnostics.results(jax.tree.map(lambda leaf: leaf[0], totals))
  prefix = 'log_prob_difference'
  return {
    name.replace(prefix, 'log_prob_replay'): value
    for name, value in first.items()
    if name.startswith(prefix)
  }


def _towards(
  copy: PyTree | None,
  params: PyTree,
  decay: optax.Schedule | None,
  step: Array,
) -> PyTree | None:
  """Returns d·copy + (1−d)·params with d = decay(step)."""
  if copy is None:
    return None
  if decay is None:
    raise ValueError('Expected a decay for a copy that the state keeps.')
  return optax.incremental_update(params, copy, 1 - decay(step))


def _synchronized(
  reference: PyTree | None, policy: PyTree, step: Array, period: int
) -> PyTree | None:
  """Returns the policy after every `period` steps, else the reference."""
  if reference is None:
    return None
  return optax.periodic_update(policy, reference, step, period)
