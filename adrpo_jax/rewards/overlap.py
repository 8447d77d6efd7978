"""Rewards in two stages, so that judging and sampling overlap.

  begin   starts to judge the samples of some prompts, and returns at once
  finish  waits for all parts of a step, and returns one `Scores` of them

Everything that needs a whole step (the limit on invalid samples, normalization,
the exchange between processes) belongs to `finish`, so that the number of parts
of a step changes no number.
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
class StagedReward(Protocol):
  """A reward that also gives its two stages."""

  def __call__(self, prompts: PromptBatch, decoded: PyTree, /) -> Scores:
    """`finish` of the one `begin`."""

  @property
  def begin(self) -> Callable[[PromptBatch, PyTree], Any]:
    """(prompts [P′], samples [P′, G, ...]) -> what `finish` waits for."""

  @property
  def finish(self) -> Callable[[Sequence[Any]], Scores]:
    """(results of `begin` for a step's parts, in order) -> Scores [P, G]."""


@dataclasses.dataclass(frozen=True)
class Stages:
  """A `StagedReward` of two functions."""

  begin: Callable[[PromptBatch, PyTree], Any]
  finish: Callable[[Sequence[Any]], Scores]

  def __call__(self, prompts: PromptBatch, decoded: PyTree, /) -> Scores:
    """`finish` of the one `begin`."""
    return self.finish([self.begin(prompts, decoded)])


def with_stages(reward: Reward) -> StagedReward:
  """Returns the reward itself where it has stages; else `begin` calls it.

  That suits a reward on the device, which returns before its result is ready.
  """
  return reward if isinstance(reward, StagedReward) else Stages(reward, join)


def draw_and_judge(
  draw: Callable[[PromptBatch], tuple[PyTree, PyTree]],
  reward: Reward,
  prompts: PromptBatch,
  *,
  parts: int = 1,
) -> tuple[tuple[PyTree, PyTree], Callable[[], Scores]]:
  """Draws samples in parts; one part is judged while the next is drawn.

  A part goes to the reward before the next is dispatched, and nothing here
  waits. A device runs programs in order, so it has the samples of part k ready
  for the host before it begins with part k + 1.

  Args:
    draw: (prompts [P/K]) -> samples and what rewards see of them, leaves
      [P/K, G, ...]. It dispatches work and does not wait (jitted rollout,
      jitted decoder).
    reward: any reward, see `with_stages`.
    prompts: pytree [P, ...].
    parts: K, which divides P.

  Returns:
    (samples, what rewards see) of all prompts in their order, which may not be
    ready yet; and a function that waits for their `Scores` [P, G], equal to
    those of `reward` on all prompts at once. It raises RewardError where too
    many samples of the step are invalid. Rewards on the device are compiled for
    another shape and may differ in rounding.
  """
  stages = with_stages(reward)
  outputs, pending = [], []
  for part in split(prompts, parts):
    samples, decoded = draw(part)
    pending.append(stages.begin(part, decoded))
    outputs.append((samples, decoded))
  return join(outputs), lambda: stages.finish(pending)


def split(tree: PyTree, parts: int) -> Sequence[PyTree]:
  """Splits a pytree [P, ...] into K [P/K, ...]; part k has rows k, k + K, ….

  Where the rows are sharded over D devices in order and D·K divides P, no row
  leaves its device, and every part spans all devices.

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


def join(parts: Sequence[PyTree]) -> Any:
  """Joins the K parts of `split` to a pytree [P, ...]."""
  return parts[0] if len(parts) == 1 else _join(tuple(parts))


def interleave(leaves: Sequence[Any], stack: Callable = jnp.stack) -> Any:
  """Interleaves K arrays [P/K, ...] to [P, ...]: first all first rows."""
  return stack(leaves, 1).reshape(-1, *leaves[0].shape[1:])


@functools.partial(jax.jit, static_argnums=1)
def _split(tree: PyTree, parts: int) -> list[PyTree]:
  def part(k: int, leaf: Array) -> Array:
    return leaf.reshape(-1, parts, *leaf.shape[1:])[:, k]

  return [jax.tree.map(functools.partial(part, k), tree) for k in range(parts)]


@jax.jit
def _join(parts: Sequence[PyTree]) -> PyTree:
  return jax.tree.map(lambda *leaves: interleave(leaves), *parts)
