"""The rewards of the worlds of text: their judges, with all that they say."""

from collections.abc import Callable, Mapping
import functools

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text.protocol import TextReward
from adrpo_jax.worlds.sort import judge
from adrpo_jax.worlds.sort_or_pass import judge as judge_or_pass


def sort(*, success_weight: float = 1.0) -> TextReward:
  """The reward of the sort world, see `worlds.sort.judge`; in [0, 1].

  Measures: what that judge says, format, multiset, prefix and success.
  """
  if not 0 <= success_weight <= 1:
    raise InputError(
      f'Expected a success_weight from 0 to 1, got {success_weight}.'
    )
  return _judged(functools.partial(judge, success_weight=success_weight))


def sort_or_pass() -> TextReward:
  """The reward of that world, see `worlds.sort_or_pass`; in [0, 1].

  Measures: what its judge says, worked, passed and success.
  """
  return _judged(judge_or_pass)


def _judged(
  verdict: Callable[[str, str], Mapping[str, float]],
) -> TextReward:
  """Of a world's judge; None where the prompt is not of its world."""

  def reward(
    prompt: str, text: str, known: str | None
  ) -> Mapping[str, float] | None:
    del known  # The prompt says all.
    try:
      return verdict(prompt, text)
    except ValueError:
      return None

  return reward
