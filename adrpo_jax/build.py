"""The only reader of configs: plain values in, the functions of a run out."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax

from adrpo_jax import sharding
from adrpo_jax.data import prompts as prompt_sources
from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.evaluate import Evaluation, make_evaluate
from adrpo_jax.method import guards, methods
from adrpo_jax.method.record import Method
from adrpo_jax.modalities import flow
from adrpo_jax.models import base as base_models
from adrpo_jax.models import export, lora, lora_files, sd3_layout
from adrpo_jax.models.autoencoder import Autoencoder
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.mmdit import MMDiT, MMDiTConfig
from adrpo_jax.models.text_encoder import TextEncoder
from adrpo_jax.rewards import table as reward_table
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.sampling import noise_levels, solvers
from adrpo_jax.types import Modality, PyTree, Scores, TrainState
from adrpo_jax.update import init_state, make_update
from adrpo_jax.worlds import WORLDS, World

TRANSITIONS: dict[str, Callable[[float], solvers.Transition]] = {
  'euler': lambda eta: solvers.euler(),
  'heun': lambda eta: solvers.heun(),
  'flow_sde': solvers.flow_sde,
  'cps': solvers.cps,
  'dance_sde': solvers.dance_sde,
}
SIGMAS = {
  'uniform': noise_levels.uniform,
  'logit_normal': noise_levels.logit_normal(shift=1.0),
}


class Run(NamedTuple):
  """A run as functions and arrays: all that `train` and `main` need.

  prompts_at: step -> the prompts of that step, on the mesh
  prompts_of: ids [P] -> these prompts, on the host
  place: puts arrays that lead with prompts onto the mesh
  rollout, reward, update: the stages, jitted
  policy: (state, frozen) -> full parameters, those to judge and to draw with
  draw: the rollout of full parameters
  export: (state, frozen, folder) -> the file that diffusers loads
  evaluate: (full parameters, frozen) -> Evaluation
  abstract: the state's shapes and shardings; `init` makes it
  """

  method: Method
  frozen: dict[str, PyTree]
  prompts_at: Callable[[int], dict[str, PyTree]]
  prompts_of: Callable[[np.ndarray], dict[str, PyTree]]
  place: Callable[[PyTree], PyTree]
  encode: Callable[[Sequence[str]], dict[str, PyTree]]
  rollout: Callable[..., PyTree]
  decode: Callable[..., PyTree]
  diversity: Callable[..., Any]
  reward: Callable[[PyTree, PyTree], Scores]
  update: Callable[..., Any]
  policy: Callable[[TrainState, PyTree], PyTree]
  draw: Callable[..., PyTree]
  export: Callable[[TrainState, PyTree, pathlib.Path], pathlib.Path]
  evaluate: Callable[[PyTree, PyTree], Evaluation]
  held_out: tuple[tuple[str, str], ...]
  init: Callable[[], TrainState]
  abstract: TrainState
  describe: Callable[[PyTree], list[str]]
  groups: tuple[int, int]


def build(config: ConfigDict) -> Run:
  """Everything a run needs. Bad input raises here, before anything compiles.

  Raises:
    InputError: what was expected, what came, and the way out.
  """
  world = _named(WORLDS, config.world, 'world')
  method = make_method(config.method)
  groups = config.prompts.per_step, config.prompts.samples
  trained = (groups[0], 2) if 'pairs' in method.needs else groups
  _check_groups(method, trained)
  mesh = sharding.make_mesh(**config.mesh)
  _check_batches(config, mesh)
  _check_averaging(config.training)

  models = base_models.load(base_folder(config))
  place = partial(_place, mesh)
  weights = {
    name: sharding.put_tree(tree, sharding.tree_shardings(tree, mesh))
    for name, tree in models.params.items()
  }
  base = weights['transformer']
  encode = _encoder(world, models, weights['text_encoder'])
  null = jax.tree.map(lambda leaf: leaf[0], encode(['']))['condition']
  frozen = {
    'reference': base,
    'autoencoder': weights['autoencoder'],
    'null_condition': null,
  }

  training = _prompt_set(config, world)
  held_out = _held_out(world, config.eval.prompts)
  gather = jax.jit(lambda tree: tree, out_shardings=sharding.replicated(mesh))
  judged = make_reward(config.reward, training.texts)
  table = encode(training.texts)

  def prompts_of(ids: np.ndarray) -> dict[str, PyTree]:
    rows = jax.tree.map(lambda leaf: np.asarray(leaf)[ids], table)
    return rows | {'ids': np.asarray(ids, np.int32)}

  def prompts_at(step: int) -> dict[str, PyTree]:
    return place(
      prompts_of(
        prompt_sources.indices(len(training), groups[0], step, config.seed)
      )
    )

  adapt = config.model.lora_rank > 0
  scale = config.model.lora_alpha / max(config.model.lora_rank, 1)
  materialise = _attached(scale) if adapt else _whole
  constrain = partial(_constrain, mesh)
  modality = _modality(config, models, materialise, constrain, method)
  drawing = _modality(config, models, _whole, constrain, method)
  optimizer = make_optimizer(config.training)
  updates = config.training.updates_per_rollout
  averaged = config.training.ema > 0

  # The base is an argument: closed over, it would be a constant, and so a
  # whole second copy, in the compiled program.
  def init(base: PyTree) -> TrainState:
    params = {'params': base['params']}
    if adapt:
      key = jax.random.key(config.seed)
      params = lora.init(base, config.model.lora_rank, key)
    copied = jax.tree.map(jnp.copy, params)
    return init_state(copied, method, optimizer, trained, averaged=averaged)

  shapes = jax.eval_shape(init, base)
  layout = sharding.tree_shardings(shapes, mesh)
  whole = sharding.replicated(mesh)
  update = make_update(
    method,
    modality,
    optimizer,
    updates_per_rollout=updates,
    microbatches=config.training.microbatches,
    averaging_decay=(lambda step: config.training.ema) if averaged else None,
    materialise=materialise,
  )
  return Run(
    method=method,
    frozen=frozen,
    prompts_at=prompts_at,
    prompts_of=prompts_of,
    place=place,
    diversity=modality.diversity,
    encode=encode,
    rollout=jax.jit(modality.rollout),
    decode=jax.jit(modality.decode),
    reward=lambda prompts, images: gather(judged(prompts, images)),
    update=jax.jit(update, donate_argnums=0, out_shardings=(layout, whole)),
    policy=jax.jit(
      _policy(
        _merged(scale) if adapt else _whole, config.training.extrapolation
      )
    ),
    export=_exporter(models.mmdit, scale if adapt else None, config),
    draw=jax.jit(drawing.rollout),
    evaluate=_evaluator(
      config, world, models, constrain, encode, held_out, place, gather
    ),
    held_out=held_out,
    init=partial(jax.jit(init, out_shardings=layout), base),
    abstract=jax.tree.map(
      lambda s, at: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=at),
      shapes,
      layout,
    ),
    describe=world.describe,
    groups=groups,
  )


def make_method(config: ConfigDict) -> Method:
  """The row of the table a config names, with its parameters."""
  name = config.name
  _named(methods.METHODS, name, 'method')
  given = {key: config[name][key] for key in methods.parameters(name)}
  try:
    return methods.make_method(name, **given)
  except ValueError as error:
    raise InputError(str(error)) from error


def make_reward(config: ConfigDict, texts: Sequence[str]) -> Reward:
  """The weighted sum of rewards that a config names."""
  return reward_table.make_reward(
    dict(config.weights),
    texts,
    config.invalid_limit,
    parameters={name: dict(config.get(name, {})) for name in config.weights},
  )


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
  """Clipped AdamW with a linear warm-up."""
  schedule = optax.linear_schedule(
    config.learning_rate / (config.warmup + 1),
    config.learning_rate,
    config.warmup,
  )
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(schedule, b2=0.99, weight_decay=config.weight_decay),
  )


def base_folder(config: ConfigDict) -> pathlib.Path:
  """Where the base checkpoint lies: the config's, or the one we ship."""
  shipped = pathlib.Path(__file__).parent / 'worlds' / f'{config.world}_base'
  return pathlib.Path(config.model.base or shipped)


def _named(table: Mapping[str, Any], name: str, what: str) -> Any:
  if name not in table:
    raise unknown_name(name, table, what)
  return table[name]


def _check_groups(method: Method, groups: tuple[int, int]) -> None:
  try:
    guards.check_group_size(method.needs, groups[1])
  except ValueError as error:
    raise InputError(f'{error} It is --config.prompts.samples.') from error


def _check_batches(config: ConfigDict, mesh: jax.sharding.Mesh) -> None:
  rows = mesh.shape['data'] * mesh.shape['fsdp']
  parts = config.training.microbatches
  for name, size in (
    ('prompts.per_step', config.prompts.per_step),
    ('eval.batch', config.eval.batch),
  ):
    if size % rows:
      raise InputError(
        f'Expected config.{name} to be a multiple of data·fsdp = {rows}, the '
        f'devices that share the batch, got {size}. Take '
        f'{rows * -(-size // rows)}, or a smaller mesh.'
      )
  if config.prompts.per_step % (rows * parts):
    raise InputError(
      f'Expected config.prompts.per_step to be a multiple of data·fsdp · '
      f'training.microbatches = {rows * parts}, got '
      f'{config.prompts.per_step}.'
    )


def _check_averaging(training: ConfigDict) -> None:
  if not 0 <= training.ema < 1:
    raise InputError(
      'Expected config.training.ema, the decay of averaged weights, to be 0 '
      f'for none or between 0 and 1, got {training.ema}.'
    )
  if not training.extrapolation > 0:
    raise InputError(
      'Expected config.training.extrapolation above 0, where 1 is none, got '
      f'{training.extrapolation}.'
    )


def _prompt_set(config: ConfigDict, world: World) -> prompt_sources.PromptSet:
  if not config.prompts.source:
    return _balanced(world.prompts('train'), 256)

  def check(text: str) -> None:
    world.tokenise([text])
    world.facts([text])

  return prompt_sources.load(config.prompts.source, check=check)


def _balanced(listed, most: int) -> prompt_sources.PromptSet:
  """The same number of prompts of each category, at most `most` distinct."""
  by_category: dict[str, list[str]] = {}
  for text, category in listed:
    by_category.setdefault(category, []).append(text)
  rng = np.random.default_rng(0)
  pairs = [
    (texts[i % len(texts)], category)
    for category, texts in by_category.items()
    for texts in [list(rng.permutation(texts))]
    for i in range(most)
  ]
  texts, categories = zip(*pairs, strict=True)
  return prompt_sources.PromptSet(texts, categories)


def _held_out(world: World, count: int) -> tuple[tuple[str, str], ...]:
  """`count` held-out prompts in turn from each category, always the same."""
  listed = world.prompts('held_out')
  names = list(dict.fromkeys(category for _, category in listed))
  rng = np.random.default_rng(1)
  lists = [
    rng.permutation([t for t, c in listed if c == name]) for name in names
  ]
  return tuple(
    (
      str(lists[i % len(names)][i // len(names) % len(lists[i % len(names)])]),
      names[i % len(names)],
    )
    for i in range(count)
  )


def _encoder(world: World, models: base_models.Base, params: PyTree):
  """(texts) -> {'condition', 'facts'} as host arrays, each prompt once."""
  apply = jax.jit(TextEncoder(models.text_encoder).apply)

  def encode(texts: Sequence[str]) -> dict[str, PyTree]:
    tokens = world.tokenise(texts)
    condition = jax.device_get(apply(params, tokens))
    stated = world.facts([text for text in texts if text]) if any(texts) else ()
    return {'condition': condition, 'facts': stated}

  return encode


def _modality(
  config: ConfigDict,
  models: base_models.Base,
  materialise: Callable,
  constrain: Callable,
  method: Method,
) -> Modality:
  """The flow modality of one method."""
  transformer = MMDiT(models.mmdit, Compute(constrain=constrain))
  autoencoder = Autoencoder(models.autoencoder)
  sampler = config.sampler
  name = sampler.transition
  if 'trajectory' in method.needs and name in ('euler', 'heun'):
    name = 'flow_sde'  # log-probabilities need a stochastic step

  def decode(params: PyTree, latents):
    return autoencoder.apply(params, latents, method='decode') / 2 + 0.5

  size = models.mmdit.sample_size
  try:
    return flow.make(
      method,
      transformer.apply,
      decode,
      latent_shape=(size, size, models.mmdit.in_channels),
      samples_per_prompt=config.prompts.samples,
      sigmas=noise_levels.shifted_sigmas(sampler.steps, sampler.shift),
      transition=_named(TRANSITIONS, name, 'transition')(sampler.eta),
      trained_steps=range(sampler.trained_steps) or None,
      draws=config.training.draws,
      quantile=_named(SIGMAS, config.training.sigma, 'σ distribution'),
      rollout_guidance=sampler.guidance,
      training_guidance=sampler.guidance,
      materialise=materialise,
      constrain=constrain,
    )
  except ValueError as error:
    raise InputError(str(error)) from error


def _evaluator(
  config, world, models, constrain, encode, held_out, place, gather
):
  texts = [text for text, _ in held_out]
  categories = [category for _, category in held_out]
  table = encode(texts) | {'ids': np.arange(len(texts), dtype=np.int32)}
  samples = config.eval.samples
  drawn = jax.jit(lambda f: world.spread(world.truth(f, samples), f))
  spread, _ = gather(drawn(place(table['facts'])))
  judged = config.copy_and_resolve_references()
  judged.sampler.transition = 'euler'
  judged.prompts.samples = samples
  return make_evaluate(
    _modality(
      judged, models, _whole, constrain, methods.make_method('fixed_w2')
    ),
    make_reward(config.reward, texts),
    jax.jit(world.spread),
    float(np.nanmean(spread)),
    table,
    categories,
    samples_per_prompt=samples,
    batch=config.eval.batch,
    place=place,
    gather=gather,
  )


def _place(mesh: jax.sharding.Mesh, rows: PyTree) -> PyTree:
  """Puts arrays that lead with prompts onto the mesh, split by prompt."""
  split = sharding.batch_sharding(mesh)
  return sharding.put_tree(rows, jax.tree.map(lambda _: split, rows))


def _constrain(mesh: jax.sharding.Mesh, rows: PyTree) -> PyTree:
  return jax.lax.with_sharding_constraint(rows, sharding.batch_sharding(mesh))


def _policy(materialise: Callable, extrapolation: float) -> Callable:
  """reference + λ·(averaged − reference), λ = 1 for no extrapolation.

  With λ above 1 it goes on in the direction that the averaged weights took.
  Source: Zheng et al., arXiv 2404.16792 (ExPO).
  """

  def policy(state: TrainState, frozen: PyTree) -> PyTree:
    averaged = state.params if state.averaged is None else state.averaged
    full = materialise(averaged, frozen)
    if extrapolation == 1:
      return full
    return optax.incremental_update(full, frozen['reference'], extrapolation)

  return policy


def _exporter(
  mmdit: MMDiTConfig, scale: float | None, config: ConfigDict
) -> Callable[[TrainState, PyTree, pathlib.Path], pathlib.Path]:
  """Writes what is judged and drawn with: adapters, or the whole model."""
  ahead = config.training.extrapolation

  def adapters(state: TrainState, frozen: PyTree, folder: pathlib.Path):
    del frozen
    averaged = state.params if state.averaged is None else state.averaged
    path = folder / lora_files.FILE
    rows = sd3_layout.transformer_rows(mmdit.patch_size)
    # λ·(W + s·A·B − W) = (λ·s)·A·B: extrapolation is a matter of scale.
    lora_files.save(path, rows, averaged, ahead * scale)
    return path

  def whole(state: TrainState, frozen: PyTree, folder: pathlib.Path):
    full = jax.jit(_policy(_whole, ahead))(state, frozen)
    return export.save_transformer(folder, mmdit, full)

  return whole if scale is None else adapters


def _whole(params: PyTree, frozen: PyTree) -> PyTree:
  """Full fine-tuning: the trained parameters, and the reference's constants."""
  return frozen['reference'] | params


def _attached(scale: float) -> Callable[[PyTree, PyTree], PyTree]:
  """LoRA: the base, with the adapters beside its layers."""
  return lambda params, frozen: lora.attach(frozen['reference'], params, scale)


def _merged(scale: float) -> Callable[[PyTree, PyTree], PyTree]:
  """LoRA: the base with the adapters added to its weights."""
  return lambda params, frozen: lora.merge(frozen['reference'], params, scale)
