"""The table of rewards: one row each, by the name that a config gives.

A row is a factory (texts of all prompts, invalid_limit, **parameters of the
row) -> Reward; a step with more than that share of invalid samples is an error.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
import functools
import inspect
from typing import Any, TypeVar

from adrpo_jax.errors import InputError, did_you_mean, unknown_name
from adrpo_jax.rewards import jpeg
from adrpo_jax.rewards.aesthetic import aesthetic
from adrpo_jax.rewards.clip_scores import clip_score, hps_v2, pick_score
from adrpo_jax.rewards.host import HostFunction, HostReward
from adrpo_jax.rewards.normalisers import (
  NORMALISERS,
  Named,
  Normaliser,
  row_and_parameters,
)
from adrpo_jax.rewards.protocol import Reward, on_device
from adrpo_jax.rewards.remote import remote
from adrpo_jax.rewards.sums import weighted_sum
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
      f'Expected parameters of {name!r} that fit '
      f'{inspect.signature(factory)}, got {sorted(parameters)}: {error}.'
    ) from error
  return factory(**parameters)


def make_reward(
  weights: Mapping[str, float],
  texts: Sequence[str],
  invalid_limit: float = 0.1,
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
  *,
  normalise: Mapping[str, Named] | None = None,
  hold_out: Collection[str] = (),
) -> Reward:
  """The weighted sum of rows: {'shapes': 1.0, 'jpeg_compressibility': 0.1}.

  Args:
    weights: name of a term -> its weight; see `weighted_sum`.
    texts: of all prompts, in the order of their ids.
    invalid_limit: the largest share of invalid samples that is let pass, for
      each reward that is trained on; one held out stops no run.
    parameters: name of a term -> keyword arguments of its row. That is the row
      of the same name, or the one that a parameter `row` names: two servers
      are {'taste': {'row': 'remote', 'url': …}, 'ocr': {'row': 'remote', …}}.
    normalise: name of a term -> a name in NORMALISERS, or {'name': …} with its
      parameters: {'pick_score': 'standard'}.
    hold_out: names of terms that are measured and not trained on.

  Raises:
    InputError: an unknown name (what is known is described), parameters that a
      row does not take, bad weights.
  """
  limits = dict.fromkeys(weights, invalid_limit) | dict.fromkeys(hold_out, 1.0)
  given = parameters or {}
  rewards = {
    term: _of_row(term, texts, limit, **given.get(term, {}))
    for term, limit in limits.items()
  }
  normalisers = {
    term: _normaliser(named) for term, named in (normalise or {}).items()
  }
  return weighted_sum(
    rewards, weights, normalisers=normalisers, hold_out=hold_out
  )


def _of_row(
  term: str,
  texts: Sequence[str],
  invalid_limit: float,
  *,
  row: str = '',
  **parameters: Any,
) -> Reward:
  name = row or term
  if name not in REWARDS:
    listed = '\n'.join(f'  {k}: {line}' for k, line in described().items())
    hint = did_you_mean(name, REWARDS)
    raise InputError(f'Unknown reward {name!r}.{hint} Known:\n{listed}')
  factory = functools.partial(REWARDS[name], texts, invalid_limit)
  return made(term, factory, **parameters)


def _normaliser(named: Named) -> Normaliser:
  name, parameters = row_and_parameters(named)
  if name not in NORMALISERS:
    raise unknown_name(name, NORMALISERS, 'normaliser of a reward')
  return made(name, NORMALISERS[name], **parameters)
