"""Checks of the parameters of a method, before anything is compiled."""

import warnings

import numpy as np
from optax import ScalarOrSchedule


def check_positive(name: str, value: ScalarOrSchedule) -> None:
  """Checks that a plain number is above 0, else raises ValueError.

  Schedules, and arrays such as `optax.inject_hyperparams` makes, pass.
  """
  if _is_number(value) and not value > 0:
    raise ValueError(f'Expected {name} above 0, got {value}.')


def check_group_size(needs: frozenset[str], group_size: int) -> None:
  """Checks that a method can work with this many samples of a prompt.

  Args:
    needs: `Method.needs`. 'group' takes two samples of a prompt or more,
      'pairs' exactly two.
    group_size: G, samples per prompt.

  Raises:
    ValueError: there are too few samples, or they are no pairs.
  """
  if 'pairs' in needs and group_size != 2:
    raise ValueError(
      'A method of preference pairs has one winner and one loser to a prompt: '
      f'expected a group size of 2, got {group_size}.'
    )
  if 'group' in needs and group_size < 2:
    raise ValueError(
      'This method compares the samples of one prompt, and one sample alone '
      f'always has advantage 0: expected a group size of at least 2, got '
      f'{group_size}. Raise the group size, or take a method without a group '
      'baseline.'
    )


def warn_if_unstable(
  beta0: ScalarOrSchedule, clip: ScalarOrSchedule, *, allow_unstable: bool
) -> None:
  """Warns where advantages may reach β₀, unless `allow_unstable`.

  A clip below β₀ is sufficient for stability, not necessary. The fixed point is
  that of a run whose reference stays the same: one that moves is left before
  samples widen. Schedules are checked at step 0 and at powers of ten up to a
  million; values that are traced or on a device are not checked.
  """
  if allow_unstable:
    return
  for step in (0, *(10**k for k in range(7))):
    beta, limit = _at(beta0, step), _at(clip, step)
    if beta is None or limit is None or limit <= 0 or limit < beta:
      continue
    place = 'exactly' if limit == beta else 'above'
    warnings.warn(
      f'The advantage clip {limit:g} is {place} beta0 = {beta:g}. Online there '
      'is no stable fixed point where E[A|x] >= beta0, since there '
      'v - v_ref = Cov(A, u|x) / (beta0 - E[A|x]): samples may widen until the '
      'run diverges. Keep the clip below beta0 (0.9 * beta0 is the default), '
      'raise beta0, move the reference (reference_sync_steps), or pass '
      'allow_unstable=True to silence this.',
      stacklevel=3,
    )
    return


def warn_if_unbounded(kl: str, clip: float, *, guarded: bool) -> None:
  """Warns of an adaptive KL whose gradient at a token has no bound.

  Where π < π_ref/2 a negative coefficient lowers the probability of a token of
  a good sample further: by e⁻ˣ with the estimator k3. Without a clip of A, the
  coefficients have the size of standardized advantages.
  """
  if guarded and clip and kl != 'k3':
    return
  reasons = [
    *(['kl="k3", whose gradient is exponential'] if kl == 'k3' else []),
    *(
      [] if guarded else ['guard=False, so that good tokens may be pushed off']
    ),
    *([] if clip else ['clip=0, the bare coefficient beta0 - A']),
  ]
  warnings.warn(
    f'The adaptive KL is not bounded: {"; ".join(reasons)}. Such runs can end '
    'in NaN. Take kl="ratio_k3", guard=True and a clip of 0.5 to 1, the '
    'defaults, for a run that matters.',
    stacklevel=3,
  )


def _at(value: ScalarOrSchedule, step: int) -> float | None:
  if callable(value):
    return float(value(step))
  return float(value) if _is_number(value) else None


def _is_number(value: ScalarOrSchedule) -> bool:
  return isinstance(value, (int, float, np.number))
