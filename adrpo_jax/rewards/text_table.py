"""The table of rewards of text: one row each, by the name a config gives.

A row is a factory (**parameters) -> `text_protocol.TextReward`; a wrong
parameter is an InputError when it is made.
"""

from collections.abc import Callable, Mapping
import functools

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text_match import exact_match, number_match
from adrpo_jax.rewards.text_math import math_match
from adrpo_jax.rewards.text_protocol import TextReward
from adrpo_jax.rewards.text_shape import regex_format, soft_overlong
from adrpo_jax.worlds.sort import judge
from adrpo_jax.worlds.sort_or_pass import judge as judge_or_pass


def sort(*, success_weight: float = 1.0) -> TextReward:
  """The reward of the sort world, see `worlds.sort.judge`; in [0, 1]."""
  if not 0 <= success_weight <= 1:
    raise InputError(
      f'Expected a success_weight from 0 to 1, got {success_weight}.'
    )
  return _judged(functools.partial(judge, success_weight=success_weight))


def sort_or_pass() -> TextReward:
  """The reward of that world, see `worlds.sort_or_pass`; in [0, 1]."""
  return _judged(judge_or_pass)


def _judged(
  verdict: Callable[[str, str], Mapping[str, float]],
) -> TextReward:
  """Of a world's judge; None where the prompt is not of its world."""

  def reward(prompt: str, text: str, known: str | None) -> float | None:
    del known  # The prompt says all.
    try:
      return verdict(prompt, text)['reward']
    except ValueError:
      return None

  return reward


TEXT_FUNCTIONS: dict[str, Callable[..., TextReward]] = {
  'exact_match': exact_match,
  'number_match': number_match,
  'math_match': math_match,
  'regex_format': regex_format,
  'soft_overlong': soft_overlong,
  'sort': sort,
  'sort_or_pass': sort_or_pass,
}
