"""The table of rewards of images: one row each, by the name a config gives.

A row is a factory (texts of all prompts, invalid_limit, **parameters of the
row) -> Reward; a step with more than that share of invalid samples is an error.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
import functools
from typing import Any

from adrpo_jax.rewards import jpeg, table
from adrpo_jax.rewards.clip.aesthetic import aesthetic
from adrpo_jax.rewards.clip.scores import clip_score, hps_v2, pick_score
from adrpo_jax.rewards.host.host_reward import HostFunction, HostReward
from adrpo_jax.rewards.normalizers import Named
from adrpo_jax.rewards.protocol import Reward, on_device
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.worlds import shapes_judge


def shapes(
  texts: Sequence[str], invalid_limit: float, *, success_weight: float = 0.0
) -> Reward:
  """The share of a prompt's facts that hold, by the exact judge; in [0, 1].

  On the device. Measures: facts, that share; success, 1 where all hold;
  fidelity. A `success_weight` w makes the reward (1 − w)·facts + w·success:
  the last missing fact is then worth more than the first.
  """
  del texts, invalid_limit  # It reads prompts['facts'], and never fails.
  return on_device(
    functools.partial(shapes_judge.judge, success_weight=success_weight)
  )


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
      table.made(name, HOST_FUNCTIONS[name], **parameters),
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
  return table.described(REWARDS)


def make_reward(
  weights: Mapping[str, float],
  texts: Sequence[str],
  invalid_limit: float = 0.1,
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
  *,
  normalize: Mapping[str, Named] | None = None,
  hold_out: Collection[str] = (),
) -> Reward:
  """The weighted sum of rows, see `rows.sum_of_rows`.

  Args:
    weights: name of a term -> its weight.
    texts: of all prompts, in the order of their ids.
    invalid_limit: see there, as the others.
    parameters: of the rows.
    normalize: of the terms.
    hold_out: names of terms that are measured and not trained on.
  """
  return table.sum_of_rows(
    REWARDS,
    lambda limit: (texts, limit),
    weights,
    invalid_limit,
    parameters,
    normalize=normalize,
    hold_out=hold_out,
  )
