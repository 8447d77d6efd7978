"""The stages of a config as jitted functions, with the shapes of arguments."""

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders import adaptation, checks
from adrpo_jax.builders.abstract_reward import reward_stage
from adrpo_jax.builders.families import FAMILIES, family_of
from adrpo_jax.builders.methods import make_method
from adrpo_jax.builders.parts import make_optimizer
from adrpo_jax.builders.programs import make_programs
from adrpo_jax.errors import InputError
from adrpo_jax.types import PromptBatch, PyTree, Scores
from adrpo_jax.update import behavior_params

Stage = tuple[Any, tuple[PyTree, ...]]


def stages_of(config: ConfigDict, mesh: jax.sharding.Mesh) -> dict[str, Stage]:
  """Returns name -> (jitted function, shapes of its arguments on the mesh).

  Raises:
    InputError: the shapes of the family are unknown without its weights, or the
      config does not fit the mesh.
  """
  family = family_of(config)
  if family.shapes is None:
    names = [name for name, row in FAMILIES.items() if row.shapes is not None]
    raise InputError(
      f'Expected a family of models to compile for, {", ".join(names)}, got '
      f'{config.model.family!r}, whose shapes are in its weights.'
    )
  method = make_method(config, family.methods)
  checks.check_guidance(method, config)
  checks.check_batches(config, mesh)
  generator = family.shapes(config, mesh)
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

  def placed(shapes: PyTree, where: jax.sharding.NamedSharding) -> PyTree:
    return sharding.abstract(shapes, jax.tree.map(lambda _: where, shapes))

  def row_of(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct((count, *shape), dtype, sharding=split)

  count, samples = config.prompts.prompts_per_step, config.prompts.group_size
  frozen = generator.frozen
  prompts = PromptBatch(
    ids=row_of((), jnp.int32),
    condition=jax.tree.map(
      lambda leaf: row_of(leaf.shape, leaf.dtype), generator.condition
    ),
    facts=(),
    index=row_of((), jnp.int32),
  )
  if 'null_condition' in frozen:
    null = placed(frozen['null_condition'], whole)
    frozen = frozen | {'null_condition': null}
  key = placed(jax.eval_shape(lambda: jax.random.key(0)), whole)
  params = behavior_params(method, programs.abstract)
  sampled = jax.eval_shape(
    programs.modality.rollout, params, frozen, prompts, key
  )
  sampled = placed(sampled, split)
  scores = jax.eval_shape(
    lambda: Scores(
      jnp.zeros((count, samples)), jnp.ones((count, samples), bool), {}
    )
  )
  return {
    'rollout': (
      jax.jit(programs.modality.rollout),
      (params, frozen, prompts, key),
    ),
    'reward': reward_stage(
      config.reward, mesh, programs.modality, frozen, sampled
    ),
    'update': (
      jax.jit(
        programs.update,
        donate_argnums=0,
        out_shardings=(programs.layout, whole),
      ),
      (
        programs.abstract,
        frozen,
        sampled,
        placed(scores, whole),
        prompts,
        key,
      ),
    ),
  }
