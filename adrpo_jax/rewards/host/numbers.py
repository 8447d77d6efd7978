"""The numbers that host functions return, as one array over all processes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
from jax.experimental import multihost_utils
import numpy as np

from adrpo_jax.rewards.host.transfer import Place
from adrpo_jax.rewards.overlap import interleave


def number_rows(
  returned: Any, count: int, measures: Sequence[str] = ()
) -> np.ndarray:
  """[B] numbers, or name -> [B] -> [B, 1 + M] float32, the reward first.

  Args:
    returned: by a host function; name -> [B] where there are measures, for
      'reward' and exactly those.
    count: B.
    measures: M names.

  Raises:
    ValueError, TypeError: another shape, other names, no numbers.
  """
  named = returned if isinstance(returned, Mapping) else {'reward': returned}
  wanted = ('reward', *measures)
  if set(named) != set(wanted):
    raise ValueError(
      f'expected {list(wanted)}, the reward and its stated measures, '
      f'got {sorted(map(str, named))}'
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


def gather_rows(
  parts: Sequence[tuple[tuple[int, ...], Iterable[tuple[Place, Any]]]],
  missing: np.ndarray,
) -> np.ndarray:
  """The rows of all samples of a step, from all processes: [P, G, ...].

  Each row is that of the first process that has judged its sample.

  Args:
    parts: of a step, split by `overlap.split`: the shape [P/K, G], and the
      (place, row) pairs of this process.
    missing: the row of a sample that no process has judged; its shape and dtype
      are those of all rows.

  Raises:
    ValueError: there is such a sample.
  """
  filled, present = [], []
  for shape, rows in parts:
    filled.append(np.broadcast_to(missing, (*shape, *missing.shape)).copy())
    present.append(np.zeros(shape, bool))
    for place, row in rows:
      filled[-1][place] = row
      present[-1][place] = True
  return _gather_processes(
    interleave(filled, np.stack), interleave(present, np.stack)
  )


def _gather_processes(rows: np.ndarray, present: np.ndarray) -> np.ndarray:
  if jax.process_count() > 1:
    everyones = multihost_utils.process_allgather((rows, present))  # [*, P, G]
    first = np.argmax(everyones[1], 0)[None, ..., None]
    rows = np.take_along_axis(np.asarray(everyones[0]), first, 0)[0]
    present = np.max(everyones[1], 0)
  if not present.all():
    raise ValueError(
      'Expected a process that holds content and id of each sample, got none '
      f'for {np.sum(~present)} of {present.size}. Shard ids and samples '
      'alike, by prompt.'
    )
  return rows
