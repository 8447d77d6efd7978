"""Normalizers bring the terms of a weighted sum of rewards to one scale.

A normalizer is a function (rewards [P, G], valid [P, G]) -> [P, G]. Its numbers
for invalid samples have no meaning.

β₀ of ADRPO is in units of the advantage, and so of the weighted sum: the scale
of the rewards decides how far β(A) = β₀ − A lets a sample go. Under
`standard` and `group` with weights that sum to 1, advantages are of the order
of 1 whatever the reward; a β₀ that was chosen for a reward in [0, 1] is then
several times too small.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from adrpo_jax.errors import InputError
from adrpo_jax.method.advantages import standardized_by_group
from adrpo_jax.types import Array

Normalizer = Callable[[Array, Array], Array]


def raw() -> Normalizer:
  """r, unchanged."""
  return lambda rewards, valid: rewards


def fixed(*, offset: float = 0.0, scale: float = 1.0) -> Normalizer:
  """(r − offset) / scale, the same in every step; a score in percent: 100.

  Raises:
    InputError: the scale is not above 0.
  """
  if not scale > 0:
    raise InputError(
      f'Expected the scale of a reward to be above 0, got {scale}. Give a '
      'reward that is to be minimized a negative weight.'
    )
  return lambda rewards, valid: (rewards - offset) / scale


def standard(*, eps: float = 1e-4) -> Normalizer:
  """(r − mean) / (std + ε), both over all valid samples of the step.

  The standard deviation is over all samples, differences between prompts
  included.
  """

  def normalized(rewards: Array, valid: Array) -> Array:
    count = jnp.maximum(jnp.sum(valid), 1)
    mean = jnp.sum(jnp.where(valid, rewards, 0.0)) / count
    centered = jnp.where(valid, rewards - mean, 0.0)
    std = jnp.sqrt(jnp.sum(jnp.square(centered)) / count)
    return centered / (std + eps)

  return normalized


def group(*, eps: float = 1e-4) -> Normalizer:
  """(r − mean) / (std + ε), both over the valid samples of a prompt.

  Every prompt weighs the same, even one whose samples hardly differ. Shao et
  al., 2024, arXiv:2402.03300.
  """
  return lambda rewards, valid: standardized_by_group(rewards, valid, eps=eps)


NORMALIZERS: dict[str, Callable[..., Normalizer]] = {
  'raw': raw,
  'fixed': fixed,
  'standard': standard,
  'group': group,
}
_DEPENDS_ON_STEP = ('standard', 'group')

# The name of a row, or {'name': …} with its parameters.
Named = str | Mapping[str, Any]


def name_and_parameters(named: Named) -> tuple[str, dict[str, Any]]:
  """'standard', or {'name': 'fixed', 'scale': 26} -> name, parameters."""
  if isinstance(named, str):
    return named, {}
  parameters = dict(named)
  return str(parameters.pop('name', '')), parameters


def comparable(normalizers: Mapping[str, Named]) -> dict[str, Named]:
  """The normalizers whose numbers mean the same in every evaluation.

  Terms that are centered by their own step would add the same to the reward of
  every policy. An evaluation takes such terms raw.
  """
  return {
    term: named
    for term, named in normalizers.items()
    if name_and_parameters(named)[0] not in _DEPENDS_ON_STEP
  }
