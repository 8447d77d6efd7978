"""The trained part of a model: all of its weights, or adapters."""

from collections.abc import Callable, Sequence
import pathlib
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
import optax

from adrpo_jax.builders.generators.base import Generator
from adrpo_jax.errors import InputError
from adrpo_jax.models import lora
from adrpo_jax.types import Array, PyTree, TrainState


class Adaptation(NamedTuple):
  """The functions between a base and its trained part.

  trainable:   (base, key) -> params, the leaves that the optimizer updates
  check:       (params or their shapes, generator) -> None; raises InputError
               for what `save` could not write
  materialize: (params, frozen) -> parameters to apply, for rollout and loss
  policy:      (params, frozen, extrapolation) -> parameters to apply, for
               evaluation and samples
  exported:    (params, frozen, extrapolation) -> the tree that `save` writes
  save:        (that tree on the host, extrapolation, generator, folder) -> the
               file that the libraries of the model load
  """

  trainable: Callable[[PyTree, Array], PyTree]
  check: Callable[[PyTree, Generator], None]
  materialize: Callable[[PyTree, PyTree], PyTree]
  policy: Callable[[PyTree, PyTree, float], PyTree]
  exported: Callable[[PyTree, PyTree, float], PyTree]
  save: Callable[[PyTree, float, Generator, pathlib.Path], pathlib.Path]


def make_adaptation(config: ConfigDict) -> Adaptation:
  """Makes adapters if the config gives them a rank, else trains all weights.

  Raises:
    InputError: adapters beside a tower that is trained.
  """
  trains_tower = config.get('train_tower', False)
  if config.lora_rank == 0:
    return all_weights(('params', 'tower')) if trains_tower else ALL_WEIGHTS
  if trains_tower:
    raise InputError(
      'Expected --config.model.lora_rank=0 with --config.model.train_tower, '
      f'got a rank of {config.lora_rank}: adapters leave the tower as it is.'
    )
  return low_rank(config.lora_rank, config.lora_alpha, config.lora_targets)


def low_rank(rank: int, alpha: float, targets: str) -> Adaptation:
  """LoRA: the base is shared and is the reference.

  The adapter stays beside the base wherever it is applied. Their sum in
  bfloat16 would lose most of a small adapter.
  """
  scale = alpha / max(rank, 1)

  def policy(params: PyTree, frozen: PyTree, extrapolation: float) -> PyTree:
    # λ·(W + s·A·B − W) = (λ·s)·A·B: extrapolation is a matter of scale.
    return lora.attach(frozen['reference'], params, extrapolation * scale)

  def save(
    adapters: PyTree,
    extrapolation: float,
    generator: Generator,
    folder: pathlib.Path,
  ) -> pathlib.Path:
    return generator.save_adapters(adapters, extrapolation * scale, folder)

  return Adaptation(
    # What stands beside 'params' in a base is a constant.
    trainable=lambda base, key: lora.init(
      {'params': base['params']}, rank, key, targets
    ),
    check=lambda params, generator: generator.check_adapters(params),
    materialize=lambda params, frozen: policy(params, frozen, 1.0),
    policy=policy,
    exported=lambda params, frozen, extrapolation: params,
    save=save,
  )


def overlay(params: PyTree, frozen: PyTree) -> PyTree:
  """Returns the trained parameters with the constants of the reference."""
  return frozen['reference'] | params


def extrapolated(
  params: PyTree, frozen: PyTree, extrapolation: float
) -> PyTree:
  """Returns reference + λ·(full − reference), λ = 1 for no extrapolation.

  λ above 1 continues in the direction of training. It is computed in the dtype
  of the trained parameters, whatever that of the reference. Source: Zheng et
  al., arXiv 2404.16792 (ExPO).
  """
  full = overlay(params, frozen)
  if extrapolation == 1:
    return full
  reference = jax.tree.map(
    lambda leaf, like: leaf.astype(like.dtype), frozen['reference'], full
  )
  return optax.incremental_update(full, reference, extrapolation)


def all_weights(parts: Sequence[str]) -> Adaptation:
  """Trains these parts of a base whole; the others are constants."""
  return Adaptation(
    # In float32, also if the reference is in bfloat16.
    trainable=lambda base, key: {
      part: jax.tree.map(lambda leaf: leaf.astype('float32'), base[part])
      for part in parts
    },
    check=lambda params, generator: None,
    materialize=overlay,
    policy=extrapolated,
    exported=jax.jit(extrapolated, static_argnums=2),
    # Extrapolation is in the weights already.
    save=lambda full, extrapolation, generator, folder: generator.save(
      full, folder
    ),
  )


ALL_WEIGHTS = all_weights(('params',))


def policy_params(state: TrainState) -> Any:
  """Returns the parameters for evaluation, sampling and export."""
  return state.params if state.averaged is None else state.averaged
