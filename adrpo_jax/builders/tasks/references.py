"""What rewards of text need of prompts: said before a run begins."""

from absl import logging
import numpy as np

from adrpo_jax.builders.parts import RewardTerms, judged_prompts
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text_table import applying


def with_references(
  prompts: PromptSet, terms: RewardTerms, source: str
) -> PromptSet:
  """Returns the prompts to which a reward that is trained on applies.

  Warns about those that are left out, and about rewards that do not apply to
  all of the others.

  Raises:
    InputError: a reward that is trained on applies to no prompt.
  """
  masks = applying(
    [*terms.weights, *terms.monitor_only],
    judged_prompts(prompts),
    terms.parameters,
    terms.rows,
  )
  for term, mask in masks.items():
    if not mask.any() and term in terms.weights:
      raise InputError(_lacking(term, prompts, source))
    logging.warning(
      'The reward %r applies to %d of %d prompts of %s; the others have no '
      'reference answer that it can read, or no options.',
      *(term, mask.sum(), len(mask), source),
    )
  everywhere = np.ones(len(prompts), bool)
  trained = [masks.get(term, everywhere) for term in terms.weights]
  judged = np.any(trained, 0) if trained else everywhere
  if judged.all():
    return prompts
  logging.warning(
    '%d of %d prompts of %s have no answer for any reward that is trained on, '
    'and are left out.',
    *((~judged).sum(), len(prompts), source),
  )
  return prompts.take(np.flatnonzero(judged).tolist())


def _lacking(term: str, prompts: PromptSet, source: str) -> str:
  answers = [answer for answer in prompts.answers if answer]
  if term == 'choice_match' and answers:
    return (
      f'{source}: expected options, of which the reward {term!r} asks for the '
      f'right one, got none in {len(prompts)} prompts with the keys '
      f'{list(prompts.columns)}. Name the one with the options, '
      '--config.prompts.choices_column=KEY, or take exact_match.'
    )
  if term == 'instructions':
    return (
      f'{source}: expected constraints, which the reward {term!r} checks, as '
      '"constraints": [{"kind": "words", "at_most": 20}] beside each prompt in '
      f'.jsonl, got none in {len(prompts)} prompts with the keys '
      f'{list(prompts.columns)}. Where a prompt has an answer too, set '
      '--config.prompts.answer_column=constraints.'
    )
  got = (
    f'none that it can read, such as {answers[0][:60]!r}' if answers else 'none'
  )
  return (
    f'{source}: expected reference answers, which the reward {term!r} compares '
    f'with, got {got}, in {len(prompts)} prompts with the keys '
    f'{list(prompts.columns)}. Name the one with the answers, '
    '--config.prompts.answer_column=KEY, or take another reward.'
  )
