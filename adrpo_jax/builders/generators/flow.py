"""A flow-matching model of images as a generator, with a config's sampler."""

from collections.abc import Callable
from functools import partial
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.base import (
  Encode,
  Generator,
  Materialize,
  for_a_loop,
  split_by_rows,
)
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.method import methods
from adrpo_jax.method.record import Method
from adrpo_jax.modalities import flow
from adrpo_jax.modalities.flow_settings import FlowSettings
from adrpo_jax.models.files import lora_files
from adrpo_jax.models.sd3 import export
from adrpo_jax.models.sd3 import weight_tables as sd3_tables
from adrpo_jax.models.sd3.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.sd3.mmdit import MMDiTConfig
from adrpo_jax.models.sd3.tiling import tiled_decode
from adrpo_jax.sampling import noise_levels, solvers
from adrpo_jax.sampling.guidance import Velocity
from adrpo_jax.types import Array, Modality, PyTree

SOLVERS: dict[str, Callable[[float], solvers.Transition]] = {
  'euler': lambda eta: solvers.euler(),
  'heun': lambda eta: solvers.heun(),
  'flow_sde': solvers.flow_sde,
  'cps': solvers.cps,
  'dance_sde': solvers.dance_sde,
}
SIGMAS: dict[str, Callable[[float], noise_levels.Quantile]] = {
  'uniform': lambda shift: noise_levels.uniform,
  'logit_normal': noise_levels.logit_normal,
}


class FlowModel(NamedTuple):
  """A model of images as functions of its weights.

  velocity:     (full parameters, x, σ, condition) -> v
  decode:       (autoencoder parameters, latents) -> images in [0, 1], about
  grid:         (solver steps, shift) -> noise levels [N + 1]
  latent_shape: of one image
  config:       of the transformer
  shift:        of its noise levels, unless the config gives another
  positions:    () -> the position table of an export; None for our own
  """

  velocity: Velocity
  decode: Callable[[PyTree, Array], Array]
  grid: Callable[[int, float], np.ndarray]
  latent_shape: tuple[int, int, int]
  config: MMDiTConfig
  shift: float
  positions: Callable[[], np.ndarray | None] = lambda: None


def make_flow_generator(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  model: FlowModel,
  *,
  encode: Encode,
  frozen: dict[str, PyTree],
  identity: str,
) -> Generator:
  """Makes the generator of a model.

  `frozen` holds 'reference', 'autoencoder' and 'null_condition', the condition
  of the empty prompt, as arrays or as shapes.
  """
  gather = partial(for_a_loop, mesh, jnp.dtype(config.model.dtype))
  gathers = config.compute.gather if mesh.shape['fsdp'] > 1 else 'layer'
  make = partial(
    _modality,
    config,
    mesh,
    model,
    gather=(lambda full: full) if gathers == 'layer' else gather,
  )
  rows = sd3_tables.transformer_rows(model.config.patch_size)

  def evaluated(
    scale: float, materialize: Materialize, samples: int
  ) -> Modality:
    """Evaluates on fresh noise, over which W2 is an expectation."""
    return make(
      methods.make_method('fixed_w2'),
      materialize,
      solver='euler',
      samples=samples,
      guidance=(scale, scale),
    )

  def save_adapters(
    adapters: PyTree, scale: float, folder: pathlib.Path
  ) -> pathlib.Path:
    path = folder / lora_files.FILE
    lora_files.save(path, rows, adapters, scale)
    return path

  drawn = partial(
    make, solver=config.sampler.solver, samples=config.prompts.group_size
  )
  scale, *further = config.eval.guidance_scales
  return Generator(
    modality=partial(
      drawn,
      guidance=(config.sampler.guidance_scale, config.training.guidance_scale),
    ),
    drawn=partial(drawn, guidance=(scale, scale)),
    evaluated=partial(evaluated, scale),
    further={f'guidance_{w:g}': partial(evaluated, w) for w in further},
    encode=encode,
    condition=jax.eval_shape(lambda: frozen['null_condition']),
    frozen=frozen,
    save=lambda full, folder: export.save_transformer(
      folder, model.config, full, model.positions()
    ),
    check_adapters=partial(lora_files.check_exportable, rows),
    save_adapters=save_adapters,
    identity=identity,
    gather=gather if gathers == 'update' else None,
  )


def _modality(
  config: ConfigDict,
  mesh: jax.sharding.Mesh,
  model: FlowModel,
  method: Method,
  materialize: Materialize,
  *,
  solver: str,
  samples: int,
  guidance: tuple[float, float],
  gather: Callable[[PyTree], PyTree],
) -> Modality:
  """Makes the modality; `guidance` is the scale of its rollout, of its loss."""
  sampler = config.sampler
  shift = sampler.shift or model.shift
  if 'trajectory' in method.needs:
    if sampler.trained_steps > sampler.steps:
      raise InputError(
        'Expected config.sampler.trained_steps to be at most '
        f'config.sampler.steps = {sampler.steps}, got {sampler.trained_steps}.'
      )
    if solver in ('euler', 'heun'):
      solver = 'flow_sde'  # log-probabilities need a stochastic step
  try:
    settings = FlowSettings(
      velocity=model.velocity,
      decode=model.decode,
      latent_shape=model.latent_shape,
      samples_per_prompt=samples,
      sigmas=model.grid(sampler.steps, shift),
      transition=lookup(SOLVERS, solver, 'solver')(sampler.eta),
      trained_steps=range(sampler.trained_steps) or None,
      draws=config.training.noise_draws,
      quantile=lookup(
        SIGMAS, config.training.sigma_distribution, 'σ distribution'
      )(shift),
      rollout_guidance=guidance[0],
      training_guidance=guidance[1],
      materialize=materialize,
      gather=gather,
      constrain=partial(split_by_rows, mesh),
    )
    return flow.make_modality(method, settings)
  except ValueError as error:
    raise InputError(str(error)) from error


def make_decoder(
  sizes: AutoencoderConfig, config: ConfigDict
) -> Callable[[PyTree, Array], Array]:
  """Latents [B, h, w, C] -> pixels, about [0, 1].

  It decodes the batch in chunks and an image in tiles if the config says so.
  """
  model = Autoencoder(sizes)
  tile, parts = config.model.decode_tile, config.compute.decode_chunks

  def decode(params: PyTree, latents: Array) -> Array:
    return tiled_decode(
      lambda part: model.apply(params, part, method='decode'),
      latents,
      tile=tile or max(latents.shape[1:3]),
      overlap=tile // 4,
      scale=sizes.downsampling,
    )

  def decoded(params: PyTree, latents: Array) -> Array:
    if latents.shape[0] % parts:
      raise InputError(
        f'Expected --config.compute.decode_chunks to divide the {len(latents)} '
        f'samples, got {parts}.'
      )
    # A part takes every parts-th row, so that it spans all devices.
    split = latents.reshape(-1, parts, *latents.shape[1:]).swapaxes(0, 1)
    images = jax.lax.map(lambda part: decode(params, part), split)
    return images.swapaxes(0, 1).reshape(-1, *images.shape[2:]) / 2 + 0.5

  return decoded


def null_condition(encode: Encode) -> PyTree:
  """Returns the condition of the empty prompt."""
  rows = encode(PromptSet(('',), ('',)))(np.arange(1))
  return jax.tree.map(lambda leaf: leaf[0], rows)
