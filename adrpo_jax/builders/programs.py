"""The device programs of a run, from arrays or from shapes alone."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import optax

from adrpo_jax import sharding
from adrpo_jax.builders import adaptation
from adrpo_jax.builders.generators.base import Generator
from adrpo_jax.method.record import Method
from adrpo_jax.types import Modality, PyTree, TrainState
from adrpo_jax.update import WHOLE, Gathering, init_state, make_update


class Programs(NamedTuple):
  """The stages of a step, not jitted yet, and the sharding of their state.

  init:     (base) -> TrainState
  update:   see `update.make_update`
  abstract: the state's shapes and shardings
  layout:   its shardings
  """

  modality: Modality
  init: Callable[[PyTree], TrainState]
  update: Callable[..., Any]
  abstract: TrainState
  layout: PyTree


def make_programs(
  config: ConfigDict,
  method: Method,
  generator: Generator,
  adapted: adaptation.Adaptation,
  mesh: jax.sharding.Mesh,
  *,
  optimizer: optax.GradientTransformation,
) -> Programs:
  """Makes the programs of a config. The generator may hold shapes alone."""
  groups = config.prompts.prompts_per_step, config.prompts.group_size
  trained = (groups[0], 2) if 'pairs' in method.needs else groups
  averaged = config.training.ema_decay > 0
  sync_steps = config.training.reference_sync_steps
  modality = generator.modality(method, adapted.materialize)

  # The base is an argument: closed over, it would be a constant, and so a
  # whole second copy, in the compiled program.
  def init(base: PyTree) -> TrainState:
    params = adapted.trainable(base, jax.random.key(config.seed))
    copied = jax.tree.map(jnp.copy, params)
    return init_state(
      copied,
      method,
      optimizer,
      trained,
      averaged=averaged,
      moving_reference=sync_steps > 0,
    )

  def shared(gradients: PyTree) -> PyTree:
    """The gradients of gathered parameters, split and stored as these are."""
    leaves = jax.tree.map(
      lambda leaf, like: leaf.astype(like.dtype), gradients, shapes.params
    )
    return jax.lax.with_sharding_constraint(leaves, layout.params)

  shapes = jax.eval_shape(init, generator.frozen['reference'])
  layout = sharding.tree_shardings(shapes, mesh)
  update = make_update(
    method,
    modality,
    optimizer,
    updates_per_rollout=config.training.updates_per_rollout,
    microbatches=config.compute.microbatches,
    averaging_decay=(lambda step: config.training.ema_decay)
    if averaged
    else None,
    materialize=adapted.materialize,
    gathering=Gathering(generator.gather, shared)
    if generator.gather
    else WHOLE,
    reference_sync_steps=sync_steps,
  )
  return Programs(
    modality, init, update, sharding.abstract(shapes, layout), layout
  )
