"""The table of rewards: one row each, by the name that a config gives.

A row is a factory (texts of all prompts, invalid_limit, **parameters of the
row) -> Reward; a call with more than that share of invalid samples is an error.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import inspect
from typing import Any, TypeVar

from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.rewards import jpeg
from adrpo_jax.rewards.aesthetic import aesthetic
from adrpo_jax.rewards.clip_scores import clip_score, hps_v2, pick_score
from adrpo_jax.rewards.host import HostFunction, HostReward
from adrpo_jax.rewards.protocol import Reward, on_device, weighted_sum
from adrpo_jax.rewards.remote import remote
from adrpo_jax.worlds import shapes_judge


def shapes(
  texts: Sequence[str], invalid_limit: float, *, success_weight: float = 0.0
) -> Reward:
  """The share of a prompt's facts that hold, by the exact judge; in [0, 1].

  On the device. Measures: held, that share; success, whether all hold;
  fidelity. A `success_weight` w makes the reward (1 − w)·held + w·success:
  the last missing fact is then worth more than the first.
  """
  del texts, invalid_limit  # It reads prompts['facts'], and never fails.
  return on_device(
    functools.partial(shapes_judge.judge, success_weight=success_weight)
  )


Made = TypeVar('Made')

HOST_FUNCTIONS: dict[str, Callable[..., HostFunction]] = {
  'jpeg_compressibility': jpeg.compressibility,
  'jpeg_incompressibility': jpeg.incompressibility,
  'remote': remote,
}


def hosted(name: str) -> Callable[..., Reward]:
  """The row of a host function: its parameters, and two of `HostReward`."""

  def row(
    texts: Sequence[str],
    invalid_limit: float,
    *,
    batch_size: int = 16,
    workers: int = 4,
    **parameters: Any,
  ) -> Reward:
    return HostReward(
      made(name, HOST_FUNCTIONS[name], **parameters),
      texts,
      name=name,
      batch_size=batch_size,
      workers=workers,
      invalid_limit=invalid_limit,
    )

  row.__doc__ = HOST_FUNCTIONS[name].__doc__
  return row


REWARDS: dict[str, Callable[..., Reward]] = {
  'shapes': shapes,
  'clip_score': clip_score,
  'pick_score': pick_score,
  'hps_v2': hps_v2,
  'aesthetic': aesthetic,
  **{name: hosted(name) for name in HOST_FUNCTIONS},
}


def described() -> dict[str, str]:
  """Name -> the first line of the docstring, for each row."""
  return {
    name: (row.__doc__ or '').strip().partition('\n')[0]
    for name, row in REWARDS.items()
  }


def made(name: str, factory: Callable[..., Made], **parameters: Any) -> Made:
  """factory(**parameters). Raises InputError for those it does not take."""
  try:
    inspect.signature(factory).bind(**parameters)
  except TypeError as error:
    raise InputError(
      f'Expected parameters of the reward {name!r} that fit '
      f'{inspect.signature(factory)}, got {sorted(parameters)}: {error}.'
    ) from error
  return factory(**parameters)


def make_reward(
  weights: Mapping[str, float],
  texts: Sequence[str],
  invalid_limit: float = 0.1,
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> Reward:
  """The weighted sum of rows: {'shapes': 1.0, 'jpeg_compressibility': 0.1}.

  Args:
    weights: name in REWARDS -> its weight; see `weighted_sum`.
    texts: of all prompts, in the order of their ids.
    invalid_limit: the largest share of invalid samples that is let pass.
    parameters: name -> keyword arguments of its row.

  Raises:
    InputError: an unknown name (the nearest known one is given), bad weights.
  """
  for name in weights:
    if name not in REWARDS:
      raise unknown_name(name, REWARDS, 'reward')
  given = parameters or {}
  rewards = {
    name: made(
      name,
      functools.partial(REWARDS[name], texts, invalid_limit),
      **given.get(name, {}),
    )
    for name in weights
  }
  return weighted_sum(rewards, weights)
