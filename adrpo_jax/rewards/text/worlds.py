"""The rewards of the worlds of text: their judges, with all their measures."""

from collections.abc import Callable, Mapping
import functools

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text.protocol import TextReward
from adrpo_jax.worlds import sort as sort_world
from adrpo_jax.worlds import sort_or_pass as sort_or_pass_world
from adrpo_jax.worlds.tones import judge as tones_judge


def sort(*, success_weight: float = 1.0) -> TextReward:
  """The reward of the sort world, see `worlds.sort.judge`; in [0, 1].

  Measures: the numbers of that judge, format, multiset, prefix and success.
  """
  if not 0 <= success_weight <= 1:
    raise InputError(
      f'Expected a success_weight from 0 to 1, got {success_weight}.'
    )
  return _reward_of(
    functools.partial(sort_world.judge, success_weight=success_weight)
  )


def sort_or_pass() -> TextReward:
  """The reward of the sort-or-pass world, see `worlds.sort_or_pass`; in [0, 1].

  Measures: the numbers of its judge, worked, passed and success.
  """
  return _reward_of(sort_or_pass_world.judge)


def tones() -> TextReward:
  """The reward of the tones world, see `worlds.tones.judge`; in [0, 1].

  Measures: the numbers of its judge, success, format, heard and consistent. The
  reference answer is the right completion, which states what is in the clip.
  """

  def reward(
    prompt: str, text: str, reference: str | None
  ) -> Mapping[str, float] | None:
    try:
      return tones_judge.judge(prompt, text, reference or '')
    except ValueError:  # The prompt is of another world.
      return None

  return reward


def _reward_of(
  judge: Callable[[str, str], Mapping[str, float]],
) -> TextReward:
  """The reward of a world's judge; None for a prompt of another world."""

  def reward(
    prompt: str, text: str, reference: str | None
  ) -> Mapping[str, float] | None:
    del reference  # The prompt states all that is asked.
    try:
      return judge(prompt, text)
    except ValueError:
      return None

  return reward
