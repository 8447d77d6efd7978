"""What of a model is trained: all of its weights, or adapters beside them."""

from collections.abc import Callable
import pathlib
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import optax

from adrpo_jax.builders.generators.base import Generator
from adrpo_jax.models import lora
from adrpo_jax.types import Array, PyTree, TrainState


class Adaptation(NamedTuple):
  """From a base to what is trained, and from there to a model.

  trainable:   (base, key) -> params, what the optimizer sees
  materialize: (params, frozen) -> parameters to apply, for rollout and loss
  whole:       (params, frozen) -> the same in the structure of the base
  save:        (params, frozen, extrapolation, generator, folder) -> the file
               that the ecosystem of the model loads
  """

  trainable: Callable[[PyTree, Array], PyTree]
  materialize: Callable[[PyTree, PyTree], PyTree]
  whole: Callable[[PyTree, PyTree], PyTree]
  save: Callable[..., pathlib.Path]


def make_adaptation(config: ConfigDict) -> Adaptation:
  """Adapters where the config gives them a rank, otherwise the whole model."""
  if config.lora_rank == 0:
    return ALL_WEIGHTS
  return low_rank(config.lora_rank, config.lora_alpha, config.lora_targets)


def low_rank(rank: int, alpha: float, targets: str) -> Adaptation:
  """LoRA: the base stays, shared, and is the reference."""
  scale = alpha / max(rank, 1)

  def save(
    params: PyTree,
    frozen: PyTree,
    extrapolation: float,
    generator: Generator,
    folder: pathlib.Path,
  ) -> pathlib.Path:
    del frozen
    # λ·(W + s·A·B − W) = (λ·s)·A·B: extrapolation is a matter of scale.
    return generator.save_adapters(params, extrapolation * scale, folder)

  return Adaptation(
    trainable=lambda base, key: lora.init(base, rank, key, targets),
    materialize=lambda params, frozen: lora.attach(
      frozen['reference'], params, scale
    ),
    whole=lambda params, frozen: lora.merge(frozen['reference'], params, scale),
    save=save,
  )


def overlaid(params: PyTree, frozen: PyTree) -> PyTree:
  """The trained parameters, and the reference's constants."""
  return frozen['reference'] | params


def _save_whole(
  params: PyTree,
  frozen: PyTree,
  extrapolation: float,
  generator: Generator,
  folder: pathlib.Path,
) -> pathlib.Path:
  full = jax.jit(extended, static_argnums=2)(
    overlaid(params, frozen), frozen['reference'], extrapolation
  )
  return generator.save(full, folder)


ALL_WEIGHTS = Adaptation(
  # In float32, whatever the reference is kept in.
  trainable=lambda base, key: {
    'params': jax.tree.map(lambda leaf: leaf.astype('float32'), base['params'])
  },
  materialize=overlaid,
  whole=overlaid,
  save=_save_whole,
)


def extended(full: PyTree, reference: PyTree, extrapolation: float) -> PyTree:
  """reference + λ·(full − reference), λ = 1 for no extrapolation.

  With λ above 1 it goes on in the direction that the weights took. Source:
  Zheng et al., arXiv 2404.16792 (ExPO).
  """
  if extrapolation == 1:
    return full
  return optax.incremental_update(full, reference, extrapolation)


def judged(state: TrainState) -> Any:
  """Which of a state's parameters are judged, drawn with and exported."""
  return state.params if state.averaged is None else state.averaged
