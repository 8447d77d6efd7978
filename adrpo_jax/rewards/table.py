"""Rows of the tables of rewards, and the weighted sum of rows by their names.

A table is name -> `RewardRow`. All that the package knows of a reward is in its
row: adding a reward adds one row and nothing elsewhere.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
import functools
import inspect
from typing import Any, NamedTuple, TypeVar

import numpy as np

from adrpo_jax.errors import InputError, did_you_mean, unknown_name
from adrpo_jax.models.clip.towers import ClipVisionConfig
from adrpo_jax.rewards.host.host_reward import HostFunction, HostReward
from adrpo_jax.rewards.host.transfer import View
from adrpo_jax.rewards.normalizers import (
  NORMALIZERS,
  Named,
  Normalizer,
  name_and_parameters,
)
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.rewards.weighted_sum import weighted_sum

T = TypeVar('T')


class RewardRow(NamedTuple):
  """One reward of a table.

  make:        (*inputs, **parameters) -> Reward. All rows of a table get the
               same inputs; the table says which.
  parameters:  what a config lists under the name of the reward: every
               parameter with the value that it begins with
  description: one line, for --help and for error messages
  tower:       sizes of the CLIP vision tower that embeds the images, for
               compile reports; None where there is none
  host:        (**parameters) -> the host function that judges, which
               `rewards.server` can serve; None for a reward on the device
  world:       the embedded world whose facts it compares images with; ''
               judges images of any prompts
  applies:     (prompt) -> False where there is nothing to compare with; None
               for a reward that judges all prompts
  """

  make: Callable[..., Reward]
  parameters: dict[str, Any]
  description: str
  tower: ClipVisionConfig | None = None
  host: Callable[..., HostFunction] | None = None
  world: str = ''
  applies: Callable[[Any], bool] | None = None


Table = Mapping[str, RewardRow]


def device_row(
  make: Callable[..., Reward],
  *,
  tower: ClipVisionConfig | None = None,
  world: str = '',
  **required: Any,
) -> RewardRow:
  """The row of a reward that is computed on the device.

  Args:
    make: see `RewardRow`; its docstring describes the reward, and its
      keyword-only parameters are those of the row.
    tower: see `RewardRow`.
    world: see `RewardRow`.
    **required: values that a config lists for parameters without a default.
  """
  parameters = required | defaults(make)
  return RewardRow(make, parameters, _first_line(make), tower, world=world)


def host_row(
  name: str,
  host: Callable[..., HostFunction],
  inputs: Callable[..., tuple[Sequence[Any], float, View]],
  *,
  measures: Sequence[str] = (),
  **required: Any,
) -> RewardRow:
  """The row of a reward that is computed by a function on the host.

  Its parameters are those of `host`, and `batch_size` and `workers` of
  `HostReward`.

  Args:
    name: of the row, for messages.
    host: (**parameters) -> the function; its docstring describes the reward.
    inputs: (*inputs of the table) -> what the function gets of each prompt, the
      limit on invalid samples, and the view of samples; see `HostReward`.
    measures: names of the numbers that the function returns beside the reward.
    **required: values that a config lists for parameters without a default.
  """

  def make(
    *context: Any, batch_size: int = 16, workers: int = 4, **parameters: Any
  ) -> Reward:
    prompts, invalid_limit, view = inputs(*context)
    return HostReward(
      call(name, host, **parameters),
      prompts,
      name=name,
      batch_size=batch_size,
      workers=workers,
      invalid_limit=invalid_limit,
      view=view,
      measures=measures,
    )

  parameters = required | defaults(host) | defaults(make)
  return RewardRow(make, parameters, _first_line(host), host=host)


def defaults(function: Callable) -> dict[str, Any]:
  """The parameters of a function that have a default, with it."""
  return {
    name: parameter.default
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.default is not parameter.empty
  }


def descriptions(table: Table) -> str:
  """One line for each row, its name and its description, for messages."""
  return '\n'.join(f'  {k}: {row.description}' for k, row in table.items())


def call(name: str, factory: Callable[..., T], **parameters: Any) -> T:
  """Returns factory(**parameters).

  Raises:
    InputError: parameters that it does not take, or lacks.
  """
  try:
    inspect.signature(factory).bind(**parameters)
  except TypeError as error:
    raise InputError(
      f'Expected parameters of {name!r} that fit '
      f'{inspect.signature(factory)}, got {sorted(parameters)}: {error}.'
    ) from error
  return factory(**parameters)


def sum_of_rows(
  table: Table,
  inputs: Callable[[float], tuple[Any, ...]],
  weights: Mapping[str, float],
  invalid_limit: float,
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
  *,
  normalize: Mapping[str, Named] | None = None,
  monitor_only: Collection[str] = (),
  applies: Mapping[str, np.ndarray] | None = None,
) -> Reward:
  """The weighted sum of rows: {'shapes': 1.0, 'jpeg_compressibility': 0.1}.

  Args:
    table: of the rows.
    inputs: (invalid limit) -> the inputs of every row.
    weights: name of a term -> its weight; see `weighted_sum`.
    invalid_limit: the largest share of invalid samples that is let pass, for
      each reward that is trained on; one held out stops no run.
    parameters: name of a term -> keyword arguments of its row. That is the row
      of the same name, or the one that a parameter `row` names: two servers
      are {'taste': {'row': 'remote', 'url': …}, 'ocr': {'row': 'remote', …}}.
    normalize: name of a term -> a name in NORMALIZERS, or {'name': …} with its
      parameters: {'pick_score': 'standard'}.
    monitor_only: names of terms that are measured and not trained on.
    applies: name of a term -> the prompts that it applies to, see
      `weighted_sum`.

  Raises:
    InputError: an unknown name (the rows are listed), parameters that a row
      does not take, bad weights.
  """
  limits = dict.fromkeys(weights, invalid_limit) | dict.fromkeys(
    monitor_only, 1.0
  )
  options = parameters or {}
  rewards = {
    term: _make_term(table, term, inputs(limit), **options.get(term, {}))
    for term, limit in limits.items()
  }
  normalizers = {
    term: _make_normalizer(named) for term, named in (normalize or {}).items()
  }
  return weighted_sum(
    rewards,
    weights,
    normalizers=normalizers,
    monitor_only=monitor_only,
    applies=applies,
  )


def _make_term(
  table: Table,
  term: str,
  inputs: tuple[Any, ...],
  *,
  row: str = '',
  **parameters: Any,
) -> Reward:
  name = row or term
  if name not in table:
    raise InputError(
      f'Unknown reward {name!r}.{did_you_mean(name, table)} Known:\n'
      f'{descriptions(table)}'
    )
  make = functools.partial(table[name].make, *inputs)
  return call(term, make, **parameters)


def _make_normalizer(named: Named) -> Normalizer:
  name, parameters = name_and_parameters(named)
  if name not in NORMALIZERS:
    raise unknown_name(name, NORMALIZERS, 'normalizer of a reward')
  return call(name, NORMALIZERS[name], **parameters)


def _first_line(function: Callable) -> str:
  return (inspect.getdoc(function) or '').partition('\n')[0]
