"""The stages of a config as jitted functions, with the shapes of arguments.

Each is a program as a run executes it: a step is sampled and judged in the
chunks of the config, and an evaluation has a batch and a modality of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders import adaptation, checks
from adrpo_jax.builders.abstract_reward import judging_stages
from adrpo_jax.builders.families import FAMILIES, Family, family_of
from adrpo_jax.builders.generators.base import Generator
from adrpo_jax.builders.meshes import with_gather
from adrpo_jax.builders.methods import make_method
from adrpo_jax.builders.parts import make_optimizer
from adrpo_jax.builders.precision import in_precision, with_products
from adrpo_jax.builders.programs import make_programs
from adrpo_jax.errors import InputError
from adrpo_jax.types import PromptBatch, PyTree, Scores, TrainState
from adrpo_jax.update import behavior_params


class Stage(NamedTuple):
  """One program of a run.

  function: jitted
  arguments: their shapes and shardings
  runs: executions in a step; 0 for a stage of an evaluation
  """

  function: Any
  arguments: tuple[PyTree, ...]
  runs: int = 1


def stages_of(config: ConfigDict, mesh: jax.sharding.Mesh) -> dict[str, Stage]:
  """Returns name -> stage on the mesh.

  rollout, decoding, reward  of a chunk of a step; a reward on the host has none
  update                     of a step
  evaluation, evaluation_*   the rollout of a batch of held-out prompts, and
                             those of `Generator.further`
  eval_decoding, eval_reward where a batch has more samples than a chunk

  An evaluation measures the divergence too, in one forward pass over the rows
  of its rollout, which needs no more memory.

  Raises:
    InputError: the shapes of the family are unknown without its weights, or the
      config does not fit the mesh.
  """
  family = family_of(config)
  shapes_of = _shapes_of(config, family)
  config = with_products(with_gather(config, mesh), mesh)
  method = make_method(config, family.methods)
  checks.check_guidance(method, config)
  checks.check_batches(config, mesh)
  checks.check_parts(config, mesh)
  generator = in_precision(shapes_of(config, mesh), config.compute.products)
  adapted = adaptation.make_adaptation(config.model)
  programs = make_programs(
    config,
    method,
    generator,
    adapted,
    mesh,
    optimizer=make_optimizer(config.training),
  )
  split, whole = sharding.batch_sharding(mesh), sharding.replicated(mesh)
  frozen = generator.frozen
  if 'null_condition' in frozen:
    null = _placed(frozen['null_condition'], whole)
    frozen = frozen | {'null_condition': null}
  key = _placed(jax.eval_shape(lambda: jax.random.key(0)), whole)

  def prompts_of(count: int) -> PromptBatch:
    return _prompts(generator.condition, count, split)

  def sampled(rollout: Any, params: PyTree, prompts: PromptBatch) -> PyTree:
    samples = jax.eval_shape(rollout, params, frozen, prompts, key)
    return _placed(samples, split)

  count, samples = config.prompts.prompts_per_step, config.prompts.group_size
  chunks, step = config.compute.reward_chunks, prompts_of(count)
  chunk, batch = prompts_of(count // chunks), prompts_of(config.eval.batch_size)
  modality = programs.modality
  params = behavior_params(method, programs.abstract)
  scores = jax.eval_shape(
    lambda: Scores(
      jnp.zeros((count, samples)), jnp.ones((count, samples), bool), {}
    )
  )
  update = jax.jit(
    programs.update, donate_argnums=0, out_shardings=(programs.layout, whole)
  )
  trained = (
    *(programs.abstract, frozen, sampled(modality.rollout, params, step)),
    *(_placed(scores, whole), step, key),
  )
  held_out = generator.evaluated(adaptation.overlay, config.eval.group_size)
  policy = _policy(config, adapted, programs.abstract, frozen, mesh)

  def judged(decode: Any, samples: PyTree) -> dict[str, tuple[Any, Any]]:
    return judging_stages(config.reward, mesh, decode, frozen, samples)

  of_chunk = judged(modality.decode, sampled(modality.rollout, params, chunk))
  stages = {
    'rollout': Stage(
      jax.jit(modality.rollout), (params, frozen, chunk, key), chunks
    ),
    **{
      name: Stage(function, arguments, chunks)
      for name, (function, arguments) in of_chunk.items()
    },
    'update': Stage(update, trained),
    'evaluation': Stage(
      jax.jit(held_out.rollout), (policy, frozen, batch, key), 0
    ),
    **{
      f'evaluation_{name}': Stage(
        jax.jit(make(adaptation.overlay, config.eval.group_size).rollout),
        (policy, frozen, batch, key),
        0,
      )
      for name, make in generator.further.items()
    },
  }
  if (
    config.eval.batch_size * config.eval.group_size > count // chunks * samples
  ):
    of_batch = judged(held_out.decode, sampled(held_out.rollout, policy, batch))
    stages |= {
      f'eval_{name}': Stage(function, arguments, 0)
      for name, (function, arguments) in of_batch.items()
    }
  return stages


def _shapes_of(
  config: ConfigDict, family: Family
) -> Callable[[ConfigDict, jax.sharding.Mesh], Generator]:
  """Returns what makes a generator of shapes, which a family must know."""
  if family.shapes is None:
    names = [name for name, row in FAMILIES.items() if row.shapes is not None]
    raise InputError(
      f'Expected a family of models to compile for, {", ".join(names)}, got '
      f'{config.model.family!r}, whose shapes are in its weights.'
    )
  return family.shapes


def _placed(shapes: PyTree, where: jax.sharding.NamedSharding) -> PyTree:
  return sharding.abstract(shapes, jax.tree.map(lambda _: where, shapes))


def _prompts(
  condition: PyTree, count: int, split: jax.sharding.NamedSharding
) -> PromptBatch:
  """Returns the shapes of some prompts, of which each has that condition."""

  def rows(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct((count, *shape), dtype, sharding=split)

  return PromptBatch(
    ids=rows((), jnp.int32),
    condition=jax.tree.map(
      lambda leaf: rows(leaf.shape, leaf.dtype), condition
    ),
    facts=(),
    index=rows((), jnp.int32),
  )


def _policy(
  config: ConfigDict,
  adapted: adaptation.Adaptation,
  state: TrainState,
  frozen: PyTree,
  mesh: jax.sharding.Mesh,
) -> PyTree:
  """Returns the shapes of the full parameters that are evaluated."""

  def policy(state: TrainState, frozen: PyTree) -> PyTree:
    params = adaptation.policy_params(state)
    return adapted.policy(params, frozen, config.training.extrapolation)

  shapes = jax.eval_shape(policy, state, frozen)
  return sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))
