"""What host functions return, as one array over samples and processes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
from jax.experimental import multihost_utils
import numpy as np

from adrpo_jax.rewards.host.transfer import Place
from adrpo_jax.rewards.overlap import interleaved


def numbers_of(
  found: Any, count: int, measures: Sequence[str] = ()
) -> np.ndarray:
  """[B] numbers, or name -> [B] -> [B, 1 + M] float32, the reward first.

  Args:
    found: of a host function; by name where there are measures, 'reward' and
      those, no more and no less.
    count: B.
    measures: M names.

  Raises:
    ValueError, TypeError: another shape, other names, no numbers.
  """
  named = found if isinstance(found, Mapping) else {'reward': found}
  wanted = ('reward', *measures)
  if set(named) != set(wanted):
    raise ValueError(
      f'expected {list(wanted)}, the reward and the measures it is said to '
      f'have, got {sorted(map(str, named))}'
    )
  columns = []
  for name in wanted:
    numbers = np.asarray(named[name])
    if numbers.shape != (count,):
      raise ValueError(
        f'expected {"rewards" if name == "reward" else name} of shape '
        f'{(count,)}, one for each sample, got {numbers.shape}'
      )
    columns.append(numbers.astype(np.float32))
  return np.stack(columns, 1)


def gathered(
  parts: Sequence[tuple[tuple[int, ...], Iterable[tuple[Place, Any]]]],
  missing: np.ndarray,
) -> np.ndarray:
  """Rows of all samples of a step, from all processes. -> [P, G, ...]

  Each from the first process that has looked at its sample.

  Args:
    parts: of a step, cut by `overlap.split`: its [P/K, G], and the rows of
      this process by their place.
    missing: the row of a sample that nobody has looked at; shape and dtype.

  Raises:
    ValueError: there is such a sample.
  """
  filled, looked = [], []
  for shape, rows in parts:
    filled.append(np.broadcast_to(missing, (*shape, *missing.shape)).copy())
    looked.append(np.zeros(shape, bool))
    for place, row in rows:
      filled[-1][place] = row
      looked[-1][place] = True
  return _of_all_processes(
    interleaved(filled, np.stack), interleaved(looked, np.stack)
  )


def _of_all_processes(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
  if jax.process_count() > 1:
    everyones = multihost_utils.process_allgather((rows, seen))  # [*, P, G]
    first = np.argmax(everyones[1], 0)[None, ..., None]
    rows = np.take_along_axis(np.asarray(everyones[0]), first, 0)[0]
    seen = np.max(everyones[1], 0)
  if not seen.all():
    raise ValueError(
      'Expected a process that holds content and id of each sample, got none '
      f'for {np.sum(~seen)} of {seen.size}. Place ids and samples alike, by '
      'prompt.'
    )
  return rows
