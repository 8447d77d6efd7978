"""The flow modality of a method on a generator, with a config's sampler."""

from collections.abc import Callable

from ml_collections import ConfigDict

from adrpo_jax.build.checks import named
from adrpo_jax.build.generator import Generator
from adrpo_jax.errors import InputError
from adrpo_jax.method.record import Method
from adrpo_jax.modalities import flow
from adrpo_jax.sampling import noise_levels, solvers
from adrpo_jax.types import Modality, PyTree

TRANSITIONS: dict[str, Callable[[float], solvers.Transition]] = {
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


def make_modality(
  config: ConfigDict,
  method: Method,
  generator: Generator,
  materialise: Callable[[PyTree, PyTree], PyTree],
  constrain: Callable[[PyTree], PyTree],
) -> Modality:
  """Rollout and loss terms of one method."""
  sampler = config.sampler
  name = sampler.transition
  if 'trajectory' in method.needs and name in ('euler', 'heun'):
    name = 'flow_sde'  # log-probabilities need a stochastic step
  try:
    return flow.make(
      method,
      generator.velocity,
      generator.decode,
      latent_shape=generator.latent_shape,
      samples_per_prompt=config.prompts.samples,
      sigmas=generator.grid(sampler.steps, sampler.shift),
      transition=named(TRANSITIONS, name, 'transition')(sampler.eta),
      trained_steps=range(sampler.trained_steps) or None,
      draws=config.training.draws,
      quantile=named(SIGMAS, config.training.sigma, 'σ distribution')(
        sampler.shift
      ),
      rollout_guidance=sampler.guidance,
      training_guidance=sampler.guidance,
      materialise=materialise,
      constrain=constrain,
    )
  except ValueError as error:
    raise InputError(str(error)) from error
