"""What every table of rewards is built with: rows by name, and their sum.

A table is name -> factory. What a factory gets first is the table's own affair
(texts, a limit, a tokenizer); behind it stand the row's parameters by name.
"""

from collections.abc import Callable, Collection, Mapping
import functools
import inspect
from typing import Any, TypeVar

from adrpo_jax.errors import InputError, did_you_mean, unknown_name
from adrpo_jax.rewards.normalizers import (
  NORMALISERS,
  Named,
  Normalizer,
  row_and_parameters,
)
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.rewards.weighted_sum import weighted_sum

Made = TypeVar('Made')
Table = Mapping[str, Callable[..., Reward]]


def described(table: Mapping[str, Callable]) -> dict[str, str]:
  """Name -> the first line of the docstring, for each row."""
  return {
    name: (row.__doc__ or '').strip().partition('\n')[0]
    for name, row in table.items()
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


def sum_of_rows(
  table: Table,
  given: Callable[[float], tuple[Any, ...]],
  weights: Mapping[str, float],
  invalid_limit: float,
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
  *,
  normalize: Mapping[str, Named] | None = None,
  hold_out: Collection[str] = (),
) -> Reward:
  """The weighted sum of rows: {'shapes': 1.0, 'jpeg_compressibility': 0.1}.

  Args:
    table: of the rows.
    given: (invalid limit) -> what every row gets before its parameters.
    weights: name of a term -> its weight; see `weighted_sum`.
    invalid_limit: the largest share of invalid samples that is let pass, for
      each reward that is trained on; one held out stops no run.
    parameters: name of a term -> keyword arguments of its row. That is the row
      of the same name, or the one that a parameter `row` names: two servers
      are {'taste': {'row': 'remote', 'url': …}, 'ocr': {'row': 'remote', …}}.
    normalize: name of a term -> a name in NORMALISERS, or {'name': …} with its
      parameters: {'pick_score': 'standard'}.
    hold_out: names of terms that are measured and not trained on.

  Raises:
    InputError: an unknown name (what is known is described), parameters that a
      row does not take, bad weights.
  """
  limits = dict.fromkeys(weights, invalid_limit) | dict.fromkeys(hold_out, 1.0)
  options = parameters or {}
  rewards = {
    term: _of_row(table, term, given(limit), **options.get(term, {}))
    for term, limit in limits.items()
  }
  normalizers = {
    term: _normalizer(named) for term, named in (normalize or {}).items()
  }
  return weighted_sum(
    rewards, weights, normalizers=normalizers, hold_out=hold_out
  )


def _of_row(
  table: Table,
  term: str,
  given: tuple[Any, ...],
  *,
  row: str = '',
  **parameters: Any,
) -> Reward:
  name = row or term
  if name not in table:
    listed = '\n'.join(f'  {k}: {line}' for k, line in described(table).items())
    hint = did_you_mean(name, table)
    raise InputError(f'Unknown reward {name!r}.{hint} Known:\n{listed}')
  return made(term, functools.partial(table[name], *given), **parameters)


def _normalizer(named: Named) -> Normalizer:
  name, parameters = row_and_parameters(named)
  if name not in NORMALISERS:
    raise unknown_name(name, NORMALISERS, 'normalizer of a reward')
  return made(name, NORMALISERS[name], **parameters)
