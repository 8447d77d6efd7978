"""Rewards in two stages, so that judging and drawing go on at the same time.

  begin   hands the samples of some prompts to be judged, and returns at once
  finish  waits for all that a step has begun, and makes one `Scores` of it

What looks at a whole step (the limit on invalid samples, normalization, the
exchange between processes) belongs to `finish`: into how many parts a step was
cut changes no number of it.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.types import Array, PromptBatch, PyTree, Scores


@runtime_checkable
class Staged(Protocol):
  """A reward that also gives its two stages."""

  def __call__(self, prompts: PromptBatch, seen: PyTree, /) -> Scores:
    """`finish` of the one `begin`."""

  @property
  def begin(self) -> Callable[[PromptBatch, PyTree], Any]:
    """(prompts of [P′], samples [P′, G, ...]) -> what `finish` waits for."""

  @property
  def finish(self) -> Callable[[Sequence[Any]], Scores]:
    """What the parts of a step have begun, in order -> Scores [P, G]."""


@dataclasses.dataclass(frozen=True)
class Stages:
  """A `Staged` made of two functions."""

  begin: Callable[[PromptBatch, PyTree], Any]
  finish: Callable[[Sequence[Any]], Scores]

  def __call__(self, prompts: PromptBatch, seen: PyTree, /) -> Scores:
    """`finish` of the one `begin`."""
    return self.finish([self.begin(prompts, seen)])


def staged(reward: Reward) -> Staged:
  """The reward itself where it has stages; else it begins with all it does.

  That is right for a reward on the device: what it returns is not there yet.
  """
  return reward if isinstance(reward, Staged) else Stages(reward, joined)


def draw_and_judge(
  draw: Callable[[PromptBatch], tuple[PyTree, PyTree]],
  reward: Reward,
  prompts: PromptBatch,
  *,
  parts: int = 1,
) -> tuple[tuple[PyTree, PyTree], Callable[[], Scores]]:
  """Samples of some prompts, drawn in parts; one is judged as the next is made.

  A part is handed to the reward before the next is dispatched, and nothing here
  waits. A device that works in order has the samples of part k ready for the
  host before it begins with part k + 1.

  Args:
    draw: (prompts of [P/K]) -> samples and what rewards see of them, leaves
      [P/K, G, ...]. It dispatches work and does not wait (jitted rollout,
      jitted decoder).
    reward: of any kind, see `staged`.
    prompts: pytree [P, ...].
    parts: K, which divides P.

  Returns:
    Both of all prompts in their order, not yet waited for, and a function that
    waits for their `Scores` [P, G]: those of `reward` on all at once. It raises
    RewardError where too many samples of the step are invalid. Rewards on the
    device, compiled for another shape, may differ in rounding.
  """
  stages = staged(reward)
  drawn, begun = [], []
  for part in split(prompts, parts):
    samples, seen = draw(part)
    begun.append(stages.begin(part, seen))
    drawn.append((samples, seen))
  return joined(drawn), lambda: stages.finish(begun)


def split(tree: PyTree, parts: int) -> Sequence[PyTree]:
  """K pytrees [P/K, ...] of one [P, ...]: the k-th has every K-th row from k.

  Where the rows are split over D devices in order and D·K divides P, no row
  leaves its device, and every part spans all of them.

  Raises:
    ValueError: K does not divide P.
  """
  rows = {leaf.shape[0] for leaf in jax.tree.leaves(tree)}
  if parts < 1 or any(count % parts for count in rows):
    raise ValueError(
      f'Expected a number of parts that divides {sorted(rows)} prompts, got '
      f'{parts}.'
    )
  return [tree] if parts == 1 else _split(tree, parts)


def joined(parts: Sequence[PyTree]) -> Any:
  """The pytree [P, ...] whose K parts by `split` these are."""
  return parts[0] if len(parts) == 1 else _joined(tuple(parts))


def interleaved(leaves: Sequence[Any], stack: Callable = jnp.stack) -> Any:
  """K arrays [P/K, ...] -> [P, ...], the first rows of all of them first."""
  return stack(leaves, 1).reshape(-1, *leaves[0].shape[1:])


@functools.partial(jax.jit, static_argnums=1)
def _split(tree: PyTree, parts: int) -> list[PyTree]:
  def part(k: int, leaf: Array) -> Array:
    return leaf.reshape(-1, parts, *leaf.shape[1:])[:, k]

  return [jax.tree.map(functools.partial(part, k), tree) for k in range(parts)]


@jax.jit
def _joined(parts: Sequence[PyTree]) -> PyTree:
  return jax.tree.map(lambda *leaves: interleaved(leaves), *parts)
