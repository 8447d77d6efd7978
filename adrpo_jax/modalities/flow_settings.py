"""The settings of a flow-matching model and its sampler, for any method."""

from collections.abc import Callable, Sequence
import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np

from adrpo_jax.method.record import Method
from adrpo_jax.modalities import flow_views
from adrpo_jax.sampling import guidance, noise_levels, solvers
from adrpo_jax.types import Array, PyTree

# (field, x, keys) -> the samples of a rollout, name -> [B, ...].
Solve = Callable[[solvers.Field, Array, Array], dict[str, Array]]


@dataclasses.dataclass(frozen=True, eq=False)
class FlowSettings:
  """The settings of a flow-matching model.

  velocity:           (full parameters, x [B, *D], sigma [B], condition
                      [B, ...]) -> v [B, *D]
  decode:             (autoencoder parameters, latents [B, *D]) -> images
                      [B, H, W, 3]
  latent_shape:       *D
  samples_per_prompt: G of the rollout; `loss_terms` reads G off its keys
  sigmas:             [N + 1], the noise levels of the solver, falling from 1
  transition:         the step of the solver. Methods that look at the
                      trajectory need a stochastic one
  trained_steps:      the solver steps that trajectory methods store and learn
                      from; by default all that add noise
  draws:              S, noise levels per sample of a renoised loss
  quantile:           the distribution of these levels, stratified over S
  rollout_guidance:   guidance scale of the rollout, 1 for none
  training_guidance:  guidance scale of the loss, for the policy and its anchors
  materialize:        (params, frozen) -> full parameters: the identity, or
                      base and adapters under LoRA
  gather:             full parameters as the loop over solver steps wants them:
                      on every device, in the precision of the products
  constrain:          puts a pytree whose leaves lead with rows onto the mesh,
                      rows split over its devices; the identity on one device

  Raises:
    ValueError: noise levels that do not fall from 1, a guidance scale below 1,
      or less than one sample or draw.
  """

  velocity: guidance.Velocity
  decode: Callable[[PyTree, Array], Array]
  latent_shape: tuple[int, ...]
  samples_per_prompt: int
  sigmas: np.ndarray
  transition: solvers.Transition = dataclasses.field(
    default_factory=solvers.euler
  )
  trained_steps: Sequence[int] | None = None
  draws: int = 1
  quantile: noise_levels.Quantile = noise_levels.uniform
  rollout_guidance: float = 1.0
  training_guidance: float = 1.0
  materialize: Callable[[PyTree, PyTree], PyTree] = lambda params, _: params
  gather: Callable[[PyTree], PyTree] = lambda full: full
  constrain: Callable[[Any], Any] = lambda rows: rows

  def __post_init__(self) -> None:
    _check_grid(self.grid)
    guidance.check_scale(self.rollout_guidance)
    guidance.check_scale(self.training_guidance)
    _check_counts(self.samples_per_prompt, self.draws)

  @property
  def grid(self) -> Any:
    """`sigmas` in float32."""
    return np.asarray(self.sigmas, np.float32)


def solve_of(method: Method, settings: FlowSettings) -> Solve:
  """Returns the solver of a rollout, which stores what the method reads.

  Raises:
    ValueError: a trajectory method with a deterministic transition, or with
      trained steps that add no noise.
  """
  sigmas, transition = settings.grid, settings.transition
  if 'trajectory' not in method.needs:
    return partial(_final_sample, sigmas, transition)
  steps = _trained_steps(settings)
  return partial(_sample_and_steps, sigmas, transition, steps)


def view_of(method: Method, settings: FlowSettings) -> flow_views.View:
  """Returns the noisy latents at which the loss of a method is evaluated.

  Raises:
    ValueError: a trajectory method with two different guidance scales.
  """
  if 'trajectory' in method.needs:
    _check_same_guidance(method, settings)
    return flow_views.replayed(settings.transition)
  draws, quantile = settings.draws, settings.quantile
  if 'shared_noise' in method.needs:
    return flow_views.renoised(draws, quantile, flow_views.prompt_keys)
  return flow_views.renoised(draws, quantile)


def _final_sample(
  sigmas: Any,
  transition: solvers.Transition,
  field: solvers.Field,
  x: Array,
  keys: Array,
) -> dict[str, Array]:
  return {'x0': solvers.solve(field, x, sigmas, transition, keys)}


def _sample_and_steps(
  sigmas: Any,
  transition: solvers.Transition,
  trained_steps: np.ndarray,
  field: solvers.Field,
  x: Array,
  keys: Array,
) -> dict[str, Array]:
  x0, steps = solvers.solve_with_steps(field, x, sigmas, transition, keys)
  stored = jax.tree.map(lambda leaf: leaf[:, trained_steps], steps)
  return {'x0': x0} | stored._asdict()


def _trained_steps(settings: FlowSettings) -> np.ndarray:
  """Indices of solver steps, all of which add noise."""
  sigmas, transition = settings.grid, settings.transition
  if transition.log_density is None:
    raise ValueError(
      'Expected a stochastic transition for a method that needs the '
      'log-probabilities of a trajectory, got a deterministic one. Use '
      'flow_sde(eta) or cps(eta) with eta > 0.'
    )
  noisy = np.flatnonzero(transition.std(sigmas[:-1], sigmas[1:]) > 0)
  wanted = settings.trained_steps
  steps = noisy if wanted is None else np.asarray(wanted, int)
  if not len(steps) or not set(steps) <= set(noisy):
    raise ValueError(
      f'Expected trained_steps among the steps that add noise, '
      f'{noisy.tolist()}, got {steps.tolist()}.'
    )
  return steps


def _check_grid(sigmas: np.ndarray) -> None:
  falls = sigmas.ndim == 1 and len(sigmas) > 1 and np.all(np.diff(sigmas) < 0)
  if not (falls and sigmas[0] == 1 and sigmas[-1] >= 0):
    raise ValueError(
      'Expected noise levels that fall from 1 to 0 or above, got '
      f'{sigmas.tolist()}. Use sampling.shifted_sigmas(steps, shift).'
    )


def _check_same_guidance(method: Method, settings: FlowSettings) -> None:
  if settings.rollout_guidance != settings.training_guidance:
    raise ValueError(
      f'Expected one guidance scale for {method.name}, whose ratios compare '
      f'training with the rollout, got {settings.rollout_guidance} in the '
      f'rollout and {settings.training_guidance} in training. Set both to the '
      'same value.'
    )


def _check_counts(samples_per_prompt: int, draws: int) -> None:
  if samples_per_prompt < 1 or draws < 1:
    raise ValueError(
      'Expected at least one sample per prompt and one noise draw per sample, '
      f'got samples_per_prompt={samples_per_prompt}, draws={draws}.'
    )
