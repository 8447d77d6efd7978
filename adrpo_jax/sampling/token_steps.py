"""How many tokens a loop over tokens draws for completions of known lengths.

Counted on the host, without a model: as `decoding` and `continuous_batching`
draw them. A step draws one token for every row of a batch.
"""

import itertools
from typing import NamedTuple

import numpy as np

from adrpo_jax.sampling.continuous_batching import HALVINGS, WAITING


class TokenSteps(NamedTuple):
  """The steps of one rollout.

  batches: (rows, steps) of each loop of the program, in its order.
  fills: the number of times at which waiting rows took samples.
  """

  batches: tuple[tuple[int, int], ...]
  fills: int = 0

  @property
  def steps(self) -> tuple[int, ...]:
    """Returns the steps of each loop."""
    return tuple(steps for _, steps in self.batches)


def all_at_once(lengths: np.ndarray) -> TokenSteps:
  """Returns the steps of a batch that waits for its longest completion.

  Args:
    lengths: tokens of each completion, of any shape.
  """
  return TokenSteps(((lengths.size, int(lengths.max())),))


def in_turns(lengths: np.ndarray, rows: int) -> TokenSteps:
  """Returns the steps of `continuous_batching.generate`.

  Args:
    lengths: [S, n], tokens of the samples of each of S shards.
    rows: rows of all shards, a multiple of S.
  """
  shards, count = lengths.shape
  own = min(rows, lengths.size) // shards
  left = np.zeros((shards, own), int)  # Tokens that a row still draws.
  following = np.zeros(shards, int)
  steps = fills = 0
  least = max(1, int(own * WAITING))
  while (following < count).any() or (left > 0).sum(1).max() > own // 2:
    waits, remaining = left == 0, count - following
    due = (remaining > 0) & (waits.sum(1) >= np.minimum(remaining, least))
    if due.any():
      turn = following[:, None] + np.cumsum(waits, 1) - 1
      takes = waits & (turn < count)
      samples = np.minimum(turn, count - 1)
      left = np.where(takes, np.take_along_axis(lengths, samples, 1), left)
      following = following + takes.sum(1)
      fills += 1
    left = np.maximum(left - 1, 0)
    steps += 1
  batches = [(own * shards, steps)]
  sizes = [own >> i for i in range(1, HALVINGS + 1) if own >> i]
  for size, next_size in itertools.pairwise([*sizes, 0]):
    # The loop ends when all but `next_size` of a shard's rows have.
    steps = int(np.sort(left, 1)[:, ::-1][:, next_size].max())
    left = np.maximum(left - steps, 0)
    batches.append((size * shards, steps))
  return TokenSteps(tuple(batches), fills)
