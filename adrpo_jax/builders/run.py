"""A run of a config: its stages as functions, its arrays on the mesh."""

from collections.abc import Callable, Mapping
import dataclasses
from functools import partial
import pathlib
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np
import optax

from adrpo_jax import sharding
from adrpo_jax.builders import adaptation, checks
from adrpo_jax.builders.config_checks import check_config
from adrpo_jax.builders.families import family_of
from adrpo_jax.builders.generators.base import Generator, Materialize
from adrpo_jax.builders.meshes import with_gather
from adrpo_jax.builders.methods import make_method
from adrpo_jax.builders.parts import make_optimizer
from adrpo_jax.builders.precision import in_precision, with_products
from adrpo_jax.builders.programs import make_programs
from adrpo_jax.builders.tasks.base import Task
from adrpo_jax.data import prompts as prompt_sources
from adrpo_jax.data.read_ahead import read_ahead
from adrpo_jax.evaluate import (
  Change,
  Evaluate,
  make_evaluate,
  with_further,
)
from adrpo_jax.method.record import Method
from adrpo_jax.report.sample_kinds import SampleKind
from adrpo_jax.rewards.normalizers import comparable
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.types import Modality, PromptBatch, PyTree, TrainState

# (ids [P]) -> the rows of these prompts that this process has devices for, on
# the host.
Batches = Callable[[np.ndarray], PromptBatch]

# Limits of the mean |Δ log p|. In bfloat16 two programs differ by far more by
# rounding, so that it is only logged.
REPLAY_TOLERANCES = {'float32': 1e-5}


class Run(NamedTuple):
  """A run as functions and arrays, for `train` and `commands`.

  prompts_at: step -> the prompts of that step, on the mesh
  prompts_of: ids [P] -> these prompts, on the mesh
  prompt_count: the number of training prompts
  id_limits: see `Generator`
  place: puts arrays that lead with prompts onto the mesh
  encode: (prompts) -> `prompts_of` for these
  rollout, decode, reward, update: the stages, jitted
  measures: (decoded) -> name -> [P], see `types.Modality`
  parts: the number of parts of a rollout; one is judged while the next is drawn
  gather: gives every process all of a tree
  policy: (state, frozen) -> full parameters for evaluation and sampling
  draw: the rollout with full parameters
  export: (state, frozen, folder) -> the file that other libraries load, which
    process 0 writes; None for the others
  evaluate: (full parameters, frozen, between) -> Evaluation, see `Evaluate`
  abstract: the state's shapes and shardings; `init` makes it
  kind: of the samples
  modality: 'flow' or 'language', what figures are of
  replay_tolerance: how far log-probabilities of rollout and update may differ
  identity: a digest of the base's weights
  """

  method: Method
  frozen: dict[str, PyTree]
  prompts_at: Callable[[int], PromptBatch]
  prompts_of: Callable[[np.ndarray], PromptBatch]
  prompt_count: int
  id_limits: Mapping[str, int]
  place: Callable[[PyTree], PyTree]
  encode: Callable[
    [prompt_sources.PromptSet], Callable[[np.ndarray], PromptBatch]
  ]
  rollout: Callable[..., PyTree]
  decode: Callable[..., PyTree]
  measures: Callable[..., Any]
  reward: Reward
  parts: int
  gather: Callable[[PyTree], PyTree]
  update: Callable[..., Any]
  policy: Callable[[TrainState, PyTree], PyTree]
  draw: Callable[..., PyTree]
  export: Callable[[TrainState, PyTree, pathlib.Path], pathlib.Path | None]
  evaluate: Evaluate
  held_out: prompt_sources.PromptSet
  init: Callable[[], TrainState]
  abstract: TrainState
  kind: SampleKind
  modality: str
  replay_tolerance: float
  identity: str
  groups: tuple[int, int]


def build(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  *,
  optimizer: optax.GradientTransformation | None = None,
) -> Run:
  """Makes everything a run needs.

  Bad input raises here, before anything compiles.

  Args:
    config: of the run.
    mesh: where its arrays lie, see `make_mesh`.
    optimizer: in place of the one that the config describes.

  Raises:
    InputError: what was expected, what came, and the way out.
  """
  check_config(config)
  config = with_products(with_gather(config, mesh), mesh)
  family = family_of(config)
  method = make_method(config, family.methods)
  checks.check_groups(method, config, family.methods)
  checks.check_guidance(method, config)
  checks.check_rewards(config.reward)
  checks.check_batches(config, mesh)
  checks.check_parts(config, mesh)
  task = family.task(config)
  precision = config.compute.products
  generator = in_precision(family.generator(config, mesh), precision)
  adapted = adaptation.make_adaptation(config.model)
  place = partial(sharding.put_own_rows, mesh)
  whole = sharding.replicated(mesh)
  gather = jax.jit(lambda tree: tree, out_shardings=whole)
  encode = _encoder(generator, task, mesh)
  batches = encode(task.training)
  ahead = read_ahead(_reader(config, len(task.training), batches))
  programs = make_programs(
    config,
    method,
    generator,
    adapted,
    mesh,
    optimizer=optimizer or make_optimizer(config.training),
  )
  adapted.check(programs.abstract.params, generator)
  drawing = generator.drawn(method, adaptation.overlay)
  extrapolation = config.training.extrapolation
  return Run(
    method=method,
    frozen=generator.frozen,
    prompts_at=lambda step: place(ahead(step)),
    prompts_of=_placed(place, batches),
    prompt_count=len(task.training),
    id_limits=generator.id_limits,
    place=partial(sharding.put_rows, mesh),
    measures=programs.modality.measures,
    encode=lambda prompts: _placed(place, encode(prompts)),
    rollout=jax.jit(programs.modality.rollout),
    decode=jax.jit(programs.modality.decode),
    reward=task.reward(task.training, dict),
    parts=config.compute.reward_chunks,
    gather=gather,
    update=jax.jit(
      programs.update, donate_argnums=0, out_shardings=(programs.layout, whole)
    ),
    policy=jax.jit(_policy(adapted, extrapolation)),
    draw=jax.jit(drawing.rollout),
    export=_export(adapted, extrapolation, generator),
    evaluate=_evaluator(config, task, generator, encode, place, gather),
    held_out=task.held_out,
    init=partial(
      jax.jit(programs.init, out_shardings=programs.layout),
      generator.frozen['reference'],
    ),
    abstract=programs.abstract,
    kind=task.kind,
    modality=family.modality,
    replay_tolerance=_replay_tolerance(config, method),
    identity=generator.identity,
    groups=(config.prompts.prompts_per_step, config.prompts.group_size),
  )


def _reader(
  config: ConfigDict, count: int, batches: Batches
) -> Callable[[int], PromptBatch]:
  """Makes (step) -> the prompts of that step, of `count`, on the host."""

  def read(step: int) -> PromptBatch:
    per_step = config.prompts.prompts_per_step
    return batches(prompt_sources.step_ids(count, per_step, step, config.seed))

  return read


def _placed(place: Callable[[PyTree], PyTree], batches: Batches) -> Batches:
  """Makes (ids) -> these prompts on the mesh."""
  return lambda ids: place(batches(ids))


def _policy(
  adapted: adaptation.Adaptation, extrapolation: float
) -> Callable[[TrainState, PyTree], PyTree]:
  """Makes (state, frozen) -> full parameters."""

  def policy(state: TrainState, frozen: PyTree) -> PyTree:
    params = adaptation.policy_params(state)
    return adapted.policy(params, frozen, extrapolation)

  return policy


def _export(
  adapted: adaptation.Adaptation, extrapolation: float, generator: Generator
) -> Callable[[TrainState, PyTree, pathlib.Path], pathlib.Path | None]:
  """Makes (state, frozen, folder) -> the file that process 0 writes there."""

  def export(
    state: TrainState, frozen: PyTree, folder: pathlib.Path
  ) -> pathlib.Path | None:
    params = adaptation.policy_params(state)
    exported = adapted.exported(params, frozen, extrapolation)
    host = sharding.on_first_process(exported)
    if host is None:
      return None
    return adapted.save(host, extrapolation, generator, folder)

  return export


def _replay_tolerance(config: ConfigDict, method: Method) -> float:
  """The limit of |Δ log p|.

  There is none for pairs, which the base has drawn, nor where products are
  rounded: programs that order them differently then differ by more.
  """
  if 'pairs' in method.needs or config.compute.products == 'bfloat16':
    return float('inf')
  return REPLAY_TOLERANCES.get(config.model.dtype, float('inf'))


def _encoder(
  generator: Generator, task: Task, mesh: jax.sharding.Mesh
) -> Callable[[prompt_sources.PromptSet], Batches]:
  """Makes (prompts) -> their `Batches`: a process reads no others' rows."""

  def encode(prompts: prompt_sources.PromptSet) -> Batches:
    conditions = generator.encode(prompts)
    facts = task.facts(prompts.texts)

    def batches(ids: np.ndarray) -> PromptBatch:
      ids = np.asarray(ids, np.int32)
      own = sharding.own_rows(mesh, len(ids))
      return PromptBatch.of_step(
        ids,
        condition=conditions(ids, own),
        facts=jax.tree.map(lambda leaf: np.asarray(leaf)[ids[own]], facts),
        own=own,
      )

    return batches

  return encode


def _evaluator(
  config: ConfigDict,
  task: Task,
  generator: Generator,
  encode: Callable[[prompt_sources.PromptSet], Batches],
  place: Callable,
  gather: Callable,
) -> Evaluate:
  # Figures of different steps are compared.
  reward = task.reward(task.held_out, comparable)
  prompts = encode(task.held_out)

  def evaluate(
    modality: Callable[[Materialize, int], Modality],
    controls: Mapping[str, Change],
  ) -> Evaluate:
    return make_evaluate(
      modality(adaptation.overlay, config.eval.group_size),
      reward,
      task.measure,
      prompts,
      task.held_out.categories,
      arrays=task.kind.arrays,
      diagnosed=task.kind.diagnosed,
      samples_per_prompt=config.eval.group_size,
      batch=config.eval.batch_size,
      place=place,
      gather=gather,
      controls=controls,
    )

  controls = {
    name: partial(_with_condition, change)
    for name, change in generator.controls.items()
  }
  further = {name: evaluate(m, {}) for name, m in generator.further.items()}
  return with_further(evaluate(generator.evaluated, controls), further)


def _with_condition(
  change: Callable[[PyTree], PyTree], batch: PromptBatch
) -> PromptBatch:
  return dataclasses.replace(batch, condition=change(batch.condition))
