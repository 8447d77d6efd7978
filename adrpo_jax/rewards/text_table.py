"""The table of rewards of text: one row each, by the name a config gives.

A row is a factory (texts of all prompts, what is known of each, invalid_limit,
decode, **parameters) -> Reward of a language model's samples; `decode` makes
texts of token ids, see `tokenizers.text_decoder`. TEXT_FUNCTIONS are factories
(**parameters) -> `text_protocol.TextReward`, each of which has a row. A wrong
parameter is an InputError when a row is made.

A function of your own is a row like this:

  def brevity(prompts, answers):  # B `TextPrompt`s and texts -> [B]
    return [-len(answer) for answer in answers]

  TEXT_REWARDS['brevity'] = hosted('brevity', lambda: brevity)
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from adrpo_jax.rewards import table
from adrpo_jax.rewards.host.host_reward import HostFunction, HostReward
from adrpo_jax.rewards.host.text_view import Decode, text_view
from adrpo_jax.rewards.normalizers import Named
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.rewards.reward_model.reward import reward_model
from adrpo_jax.rewards.text.form import regex_format, soft_overlong
from adrpo_jax.rewards.text.match import exact_match, number_match
from adrpo_jax.rewards.text.math_answers import math_match
from adrpo_jax.rewards.text.protocol import TextReward, in_batches, text_prompts
from adrpo_jax.rewards.text.reasoning import reasoning_gym
from adrpo_jax.rewards.text.worlds import sort, sort_or_pass
from adrpo_jax.worlds import sort as sort_world
from adrpo_jax.worlds import sort_or_pass as sort_or_pass_world

TEXT_FUNCTIONS: dict[str, Callable[..., TextReward]] = {
  'exact_match': exact_match,
  'number_match': number_match,
  'math_match': math_match,
  'reasoning_gym': reasoning_gym,
  'regex_format': regex_format,
  'soft_overlong': soft_overlong,
  'sort': sort,
  'sort_or_pass': sort_or_pass,
}

# What a function says beside its reward.
MEASURES: dict[str, tuple[str, ...]] = {
  'sort': sort_world.FACTS,
  'sort_or_pass': sort_or_pass_world.FACTS,
}


def hosted(
  name: str,
  factory: Callable[..., HostFunction],
  measures: Sequence[str] = (),
) -> Callable[..., Reward]:
  """The row of a host function: its parameters, and two of `HostReward`.

  Args:
    name: of the row, for messages.
    factory: (**parameters) -> a function of (B `TextPrompt`s, B texts).
    measures: names of what the function says beside the reward.
  """

  def row(
    texts: Sequence[str],
    known: Sequence[str | None],
    invalid_limit: float,
    decode: Decode,
    *,
    batch_size: int = 16,
    workers: int = 4,
    **parameters: Any,
  ) -> Reward:
    return HostReward(
      table.made(name, factory, **parameters),
      text_prompts(texts, known),
      name=name,
      batch_size=batch_size,
      workers=workers,
      invalid_limit=invalid_limit,
      view=text_view(decode),
      measures=measures,
    )

  row.__doc__ = factory.__doc__
  return row


def _batched(name: str) -> Callable[..., Reward]:
  measures = MEASURES.get(name, ())

  def factory(**parameters: Any) -> HostFunction:
    function = table.made(name, TEXT_FUNCTIONS[name], **parameters)
    return in_batches(function, measures)

  factory.__doc__ = TEXT_FUNCTIONS[name].__doc__
  return hosted(name, factory, measures)


TEXT_REWARDS: dict[str, Callable[..., Reward]] = {
  **{name: _batched(name) for name in TEXT_FUNCTIONS},
  'remote': hosted('remote', remote),
  'reward_model': reward_model,
}


def described() -> dict[str, str]:
  """Name -> the first line of the docstring, for each row."""
  return table.described(TEXT_REWARDS)


def make_text_reward(
  weights: Mapping[str, float],
  texts: Sequence[str],
  known: Sequence[str | None],
  decode: Decode,
  invalid_limit: float = 0.1,
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
  *,
  normalize: Mapping[str, Named] | None = None,
  hold_out: Collection[str] = (),
) -> Reward:
  """The weighted sum of rows, see `rows.sum_of_rows`.

  Args:
    weights: name of a term -> its weight.
    texts: of all prompts, in the order of their ids.
    known: of every prompt, its reference answer or None.
    decode: token ids -> text.
    invalid_limit: see there, as the others.
    parameters: of the rows.
    normalize: of the terms.
    hold_out: names of terms that are measured and not trained on.
  """
  return table.sum_of_rows(
    TEXT_REWARDS,
    lambda limit: (texts, known, limit, decode),
    weights,
    invalid_limit,
    parameters,
    normalize=normalize,
    hold_out=hold_out,
  )
