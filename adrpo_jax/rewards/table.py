"""The table of rewards: one row each, by the name that a config gives.

A row is a factory (texts of all prompts, **parameters of the row) -> Reward.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adrpo_jax.errors import unknown_name
from adrpo_jax.rewards import jpeg
from adrpo_jax.rewards.host import HostReward
from adrpo_jax.rewards.protocol import Reward, on_device, weighted_sum
from adrpo_jax.worlds import shapes_judge


def shapes(texts: Sequence[str]) -> Reward:
  """The share of a prompt's facts that hold, by the exact judge; in [0, 1].

  On the device. Measures: success, whether all hold, and fidelity.
  """
  del texts  # The judge reads prompts['facts'].
  return on_device(shapes_judge.judge)


def jpeg_compressibility(
  texts: Sequence[str], *, quality: int = 95, **host: Any
) -> Reward:
  """−kB as a JPEG, on the host. `host`: keyword arguments of `HostReward`."""
  return HostReward(
    jpeg.compressibility(quality), texts, name='jpeg_compressibility', **host
  )


REWARDS: dict[str, Callable[..., Reward]] = {
  'shapes': shapes,
  'jpeg_compressibility': jpeg_compressibility,
}


def make_reward(
  weights: Mapping[str, float],
  texts: Sequence[str],
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> Reward:
  """The weighted sum of rows: {'shapes': 1.0, 'jpeg_compressibility': 0.1}.

  Args:
    weights: name in REWARDS -> its weight; see `weighted_sum`.
    texts: of all prompts, in the order of their ids.
    parameters: name -> keyword arguments of its row.

  Raises:
    InputError: an unknown name (the nearest known one is given), bad weights.
  """
  for name in weights:
    if name not in REWARDS:
      raise unknown_name(name, REWARDS, 'reward')
  given = parameters or {}
  rewards = {n: REWARDS[n](texts, **given.get(n, {})) for n in weights}
  return weighted_sum(rewards, weights)
