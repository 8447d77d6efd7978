"""The table of rewards: one row each, by the name that a config gives.

A row is a factory (texts of all prompts, invalid_limit, **parameters of the
row) -> Reward; a call with more than that share of invalid samples is an error.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
from typing import Any

from adrpo_jax.errors import unknown_name
from adrpo_jax.rewards import jpeg
from adrpo_jax.rewards.host import HostReward
from adrpo_jax.rewards.protocol import Reward, on_device, weighted_sum
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


def jpeg_compressibility(
  texts: Sequence[str],
  invalid_limit: float,
  *,
  quality: int = 95,
  **host: Any,
) -> Reward:
  """−kB as a JPEG, on the host. `host`: keyword arguments of `HostReward`."""
  return HostReward(
    jpeg.compressibility(quality),
    texts,
    name='jpeg_compressibility',
    invalid_limit=invalid_limit,
    **host,
  )


REWARDS: dict[str, Callable[..., Reward]] = {
  'shapes': shapes,
  'jpeg_compressibility': jpeg_compressibility,
}


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
    name: REWARDS[name](texts, invalid_limit, **given.get(name, {}))
    for name in weights
  }
  return weighted_sum(rewards, weights)
