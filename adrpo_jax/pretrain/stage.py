"""A stage of pre-training: AdamW on one loss, saved as it goes.

A stage is a pure function of (state, step), so that one that was interrupted
continues with the same results.
"""

from collections.abc import Callable
import dataclasses
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.metrics import MetricsLog, Progress
from adrpo_jax.system.records import cut_back
from adrpo_jax.types import Array, PyTree

LOG_EVERY = 50  # steps


@dataclasses.dataclass(frozen=True)
class StageConfig:
  """The settings of one stage of training."""

  steps: int
  batch_size: int
  learning_rate: float
  ema_decay: float
  save_every: int


class StageState(NamedTuple):
  """The state that a stage carries from step to step."""

  step: Array
  params: PyTree
  ema: PyTree
  optimizer: Any


def make_stage(
  stage: StageConfig, loss: Callable[[PyTree, PyTree, Array], Array]
) -> tuple[Callable[[PyTree], StageState], Callable]:
  """Makes (init, update) of one stage: warm-up, cosine decay, AdamW, EMA.

  loss is (params, batch, key) -> scalar. update is (state, batch, key) ->
  (state, loss); it is jitted and donates its state.
  """
  warmup = min(300, stage.steps // 10)
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, stage.learning_rate, warmup, stage.steps, stage.learning_rate / 50
  )
  optimizer = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(schedule, b2=0.99, weight_decay=1e-4),
  )

  def init(params: PyTree) -> StageState:
    # Copies, because `update` donates the state.
    params, ema = jax.tree.map(jnp.copy, (params, params))
    return StageState(jnp.zeros((), int), params, ema, optimizer.init(params))

  def update(state: StageState, batch: PyTree, key: Array):
    value, grads = jax.value_and_grad(loss)(state.params, batch, key)
    change, optimizer_state = optimizer.update(
      grads, state.optimizer, state.params
    )
    params = optax.apply_updates(state.params, change)
    decay = jnp.minimum(stage.ema_decay, (1 + state.step) / (10 + state.step))
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    return StageState(state.step + 1, params, ema, optimizer_state), value

  return init, jax.jit(update, donate_argnums=0)


def train_stage(
  name: str,
  stage: StageConfig,
  loss: Callable[[PyTree, PyTree, Array], Array],
  params: PyTree,
  batch_of: Callable[[np.ndarray], PyTree],
  count: int,
  workdir: pathlib.Path,
  *,
  seed: int,
) -> PyTree:
  """Runs one stage to its end and returns the averaged parameters.

  Batches depend only on the step, so an interrupted stage continues from its
  last save with the same results. A stage of 0 steps returns `params`.
  """
  if not stage.steps:
    return params
  init, update = make_stage(stage, loss)
  with Checkpoints(workdir / name) as checkpoints:
    state = init(params)
    restored = checkpoints.restore(jax.eval_shape(lambda: state))
    first = restored.step if restored else 0
    state = restored.state if restored else state
    meta = restored.meta if restored else {}
    # The losses since the last line, which is a mean of them.
    losses = list(np.asarray(meta.get('losses', []), np.float32))
    logged = [step for step in range(first) if _is_logged(step + 1, stage)]
    cut_back(workdir / f'{name}.jsonl', first, logged)
    progress = Progress(stage.steps, start=first)
    with MetricsLog(workdir / f'{name}.jsonl', start=first) as log:
      for step in range(first, stage.steps):
        rng = np.random.default_rng([seed, step])
        rows = rng.integers(count, size=stage.batch_size)
        key = jax.random.fold_in(jax.random.key(seed), step)
        state, value = update(state, batch_of(rows), key)
        losses.append(value)
        completed = step + 1
        if _is_logged(completed, stage):
          mean = float(np.mean(jax.device_get(losses)))
          log.write(step, {'loss': mean})
          progress.update(completed, {f'{name} loss': mean})
          losses = []
        every = stage.save_every or stage.steps
        if completed % every == 0 or completed == stage.steps:
          since = [float(loss) for loss in jax.device_get(losses)]
          checkpoints.save(completed, state, {'losses': since})
    progress.close()
  return state.ema


def _is_logged(completed: int, stage: StageConfig) -> bool:
  return completed % LOG_EVERY == 0 or completed == stage.steps
