"""The table of rewards of text: one row each, by the name in a config.

Every row gets (all prompts, invalid_limit, decode) before its parameters: a
prompt is a `text.protocol.TextPrompt`, and `decode` makes texts of token ids,
see `tokenizers.text_decoder`. A wrong parameter is an InputError when a row is
made.

A function of your own is a row like this:

  def brevity(prompts, answers):  # B `TextPrompt`s and texts -> [B]
    return [-len(answer) for answer in answers]

  TEXT_REWARDS['brevity'] = host_row('brevity', lambda: brevity)
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
import functools
from typing import Any

import numpy as np

from adrpo_jax.rewards import table
from adrpo_jax.rewards.host.host_reward import HostFunction
from adrpo_jax.rewards.host.text_view import Decode, text_view
from adrpo_jax.rewards.host.transfer import View
from adrpo_jax.rewards.normalizers import Named
from adrpo_jax.rewards.overlap import Stages, with_stages
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.rewards.remote.client import remote
from adrpo_jax.rewards.reward_model.reward import reward_model
from adrpo_jax.rewards.table import RewardRow, device_row
from adrpo_jax.rewards.text.choices import choice_match, has_choices
from adrpo_jax.rewards.text.form import regex_format, soft_overlong
from adrpo_jax.rewards.text.instructions import (
  has_constraints,
  instructions,
)
from adrpo_jax.rewards.text.match import (
  exact_match,
  has_answer,
  has_number,
  number_match,
)
from adrpo_jax.rewards.text.math_answers import math_match
from adrpo_jax.rewards.text.protocol import (
  TextPrompt,
  TextReward,
  in_batches,
)
from adrpo_jax.rewards.text.reasoning import has_entry, reasoning_gym
from adrpo_jax.rewards.text.worlds import sort, sort_or_pass, tones
from adrpo_jax.types import Scores
from adrpo_jax.worlds import sort as sort_world
from adrpo_jax.worlds import sort_or_pass as sort_or_pass_world
from adrpo_jax.worlds.tones import judge as tones_judge


def host_row(
  name: str,
  host: Callable[..., HostFunction],
  *,
  applies: Callable[[TextPrompt], bool] | None = None,
  **options: Any,
) -> RewardRow:
  """The row of a function (B `TextPrompt`s, B texts) on the host.

  Args:
    name: of the row, for messages.
    host: (**parameters) -> the function.
    applies: see `RewardRow`. Where it is False nothing is judged.
    **options: of `table.host_row`.
  """

  def inputs(
    prompts: Sequence[TextPrompt], invalid_limit: float, decode: Decode
  ) -> tuple[list[TextPrompt | None], float, View]:
    records = [
      prompt if applies is None or applies(prompt) else None
      for prompt in prompts
    ]
    return records, invalid_limit, text_view(decode)

  return table.host_row(name, host, inputs, **options)._replace(applies=applies)


def text_row(
  name: str,
  factory: Callable[..., TextReward],
  *,
  measures: Sequence[str] = (),
  applies: Callable[[str | None], bool] | None = None,
  **required: Any,
) -> RewardRow:
  """The row of a function that judges one text.

  Args:
    name: of the row, for messages.
    factory: (**parameters) -> the function, see `text.protocol`; its docstring
      describes the reward.
    measures: names of the numbers that it returns beside the reward.
    applies: (reference) -> False where there is nothing to compare with.
    **required: values that a config lists for parameters without a default.
  """

  @functools.wraps(factory)
  def host(**parameters: Any) -> HostFunction:
    return in_batches(factory(**parameters), measures)

  return host_row(
    name,
    host,
    applies=applies and (lambda prompt: applies(prompt.reference)),
    measures=measures,
    **required,
  )


def right_or_wrong(row: RewardRow) -> RewardRow:
  """The row of a reward that is 1 for a right answer: `success` says which."""

  @functools.wraps(row.make)
  def make(*inputs: Any, **parameters: Any) -> Reward:
    stages = with_stages(row.make(*inputs, **parameters))

    def finish(parts: Sequence[Any]) -> Scores:
      scores = stages.finish(parts)
      success = (scores.rewards >= 1).astype(scores.rewards.dtype)
      return scores._replace(measures={'success': success} | scores.measures)

    return Stages(stages.begin, finish)

  return row._replace(make=make)


TEXT_REWARDS: dict[str, RewardRow] = {
  'exact_match': right_or_wrong(
    text_row('exact_match', exact_match, applies=has_answer)
  ),
  'number_match': right_or_wrong(
    text_row('number_match', number_match, applies=has_number)
  ),
  'math_match': right_or_wrong(
    text_row('math_match', math_match, applies=has_answer)
  ),
  'choice_match': right_or_wrong(
    host_row(
      'choice_match',
      choice_match,
      applies=has_choices,
      measures=('listed', 'official'),
    )
  ),
  'reasoning_gym': right_or_wrong(
    text_row('reasoning_gym', reasoning_gym, applies=has_entry)
  ),
  'instructions': text_row(
    'instructions',
    instructions,
    applies=has_constraints,
    measures=('success',),
  ),
  'regex_format': text_row(
    'regex_format', regex_format, pattern=r'(?s).*\\boxed\{.+\}.*'
  ),
  'soft_overlong': text_row(
    'soft_overlong', soft_overlong, limit=1024, margin=256
  ),
  'sort': text_row('sort', sort, measures=sort_world.FACTS),
  'sort_or_pass': text_row(
    'sort_or_pass', sort_or_pass, measures=sort_or_pass_world.FACTS
  ),
  'tones': text_row(
    'tones', tones, applies=has_answer, measures=tones_judge.FACTS
  ),
  'remote': host_row('remote', remote, url=''),
  'reward_model': device_row(reward_model, path=''),
}


def applying(
  terms: Iterable[str],
  prompts: Sequence[TextPrompt],
  parameters: Mapping[str, Mapping[str, Any]],
  rows: table.Table = TEXT_REWARDS,
) -> dict[str, np.ndarray]:
  """Name of a term -> [prompts] bool, for terms that do not apply to all."""
  masks = {}
  for term in terms:
    row = rows.get(parameters.get(term, {}).get('row') or term)
    if row and row.applies:
      masks[term] = np.array([row.applies(prompt) for prompt in prompts])
  return {term: mask for term, mask in masks.items() if not mask.all()}


def make_text_reward(
  weights: Mapping[str, float],
  prompts: Sequence[TextPrompt],
  decode: Decode,
  invalid_limit: float = 0.1,
  parameters: Mapping[str, Mapping[str, Any]] | None = None,
  *,
  normalize: Mapping[str, Named] | None = None,
  monitor_only: Collection[str] = (),
  rows: table.Table = TEXT_REWARDS,
) -> Reward:
  """The weighted sum of rows, see `table.sum_of_rows`.

  Args:
    weights: name of a term -> its weight.
    prompts: all prompts, in the order of their ids.
    decode: token ids -> text.
    invalid_limit: see there, as the others.
    parameters: of the rows.
    normalize: of the terms.
    monitor_only: names of terms that are measured and not trained on.
    rows: the table, where it has further rows.
  """
  return table.sum_of_rows(
    rows,
    lambda limit: (prompts, limit, decode),
    weights,
    invalid_limit,
    parameters,
    normalize=normalize,
    monitor_only=monitor_only,
    applies=applying(
      [*weights, *monitor_only], prompts, parameters or {}, rows
    ),
  )
