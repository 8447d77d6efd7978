"""The prompts of a run of a language model, and what judges its answers."""

from collections.abc import Callable
from functools import partial

from absl import logging
from ml_collections import ConfigDict

from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.language_folder import make_chat_tokenizer
from adrpo_jax.builders.parts import (
  RewardTerms,
  make_text_reward,
  reward_terms,
)
from adrpo_jax.builders.tasks.base import (
  Task,
  prompt_reader,
  prompts_of_files,
  prompts_of_world,
  sampled,
)
from adrpo_jax.builders.tasks.references import with_references
from adrpo_jax.data import reasoning_prompts
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.chat_tokenizer import ChatTokenizer
from adrpo_jax.report.sample_kinds import TEXTS
from adrpo_jax.rewards.user_rewards import TEXT_FORMS
from adrpo_jax.worlds import TEXT_WORLDS, TextWorld

# (prompts, source) -> those that a reward can judge.
Judged = Callable[[PromptSet, str], PromptSet]


def make_text_task(config: ConfigDict) -> Task:
  """Makes the task of an embedded world of texts, or of prompt files."""
  terms = reward_terms(config.reward, TEXT_FORMS)
  tokenizer = make_chat_tokenizer(config)

  def judged(prompts: PromptSet, source: str) -> PromptSet:
    return with_references(prompts, terms, source)

  training, held_out = (
    _of_world(config, judged)
    if config.world
    else _of_files(config, tokenizer, judged)
  )

  def check(text: str) -> None:
    length, most = len(tokenizer.encode(text)), config.prompts.max_prompt_length
    if length > most:
      raise InputError(
        f'Expected prompts of at most {most} tokens, got one of {length}: '
        f'{text[:60]!r}. Shorten it, or raise '
        '--config.prompts.max_prompt_length.'
      )

  for text in (*training.texts[:1], *held_out.texts[:1]):
    check(text)
  return answered_task(terms, tokenizer, training, held_out, check=check)


def answered_task(
  terms: RewardTerms,
  tokenizer: ChatTokenizer,
  training: PromptSet,
  held_out: PromptSet,
  *,
  check: Callable[[str], object],
  **kept: Callable[..., object],
) -> Task:
  """Makes the task of prompts that a decoder answers.

  Args:
    terms: of the reward.
    tokenizer: spells the answers.
    training: see `Task`.
    held_out: see there.
    check: see there.
    kept: what is kept beside the answers, see `SampleKind.bind`.
  """
  return Task(
    training=training,
    held_out=held_out,
    check=check,
    facts=lambda texts: (),
    measure=lambda samples, facts: {},
    kind=TEXTS.bind(tokenizer, **kept),
    reward=lambda prompts, normalizers: make_text_reward(
      terms, prompts, tokenizer.decode, normalizers
    ),
  )


def _of_world(
  config: ConfigDict, judged: Judged
) -> tuple[PromptSet, PromptSet]:
  world = lookup(TEXT_WORLDS, config.world, 'world of texts')
  training, held_out = prompts_of_world(
    config, partial(_listed, world), world.answer
  )
  own = f'the world {config.world}'
  return judged(training, config.prompts.source or own), judged(held_out, own)


def _listed(world: TextWorld, split: str) -> PromptSet:
  texts, categories = zip(*world.prompts(split), strict=True)
  return PromptSet(texts, categories, tuple(map(world.answer, texts)))


def _of_files(
  config: ConfigDict, tokenizer: ChatTokenizer, judged: Judged
) -> tuple[PromptSet, PromptSet]:
  longest, load = config.prompts.max_prompt_length, prompt_reader(config)
  training, evaluated = prompts_of_files(
    config,
    '.txt, .jsonl, .csv, .tsv, .json, tfds:NAME, reasoning_gym:TASK or '
    'instructions:SPLIT',
    lambda source: judged(
      within(load(source), tokenizer, longest, source), source
    ),
  )
  if config.prompts.source.startswith(reasoning_prompts.SCHEME):
    training = training.take(
      reasoning_prompts.distinct_ids(training.texts, evaluated.texts)
    )
  return training, sampled(evaluated, config.eval.num_prompts)


def within(
  prompts: PromptSet, tokenizer: ChatTokenizer, longest: int, source: str
) -> PromptSet:
  """Returns the prompts of at most `longest` tokens; warns about the others.

  Raises:
    InputError: none is left.
  """
  lengths = [len(tokenizer.encode(text)) for text in prompts.texts]
  short = [i for i, length in enumerate(lengths) if length <= longest]
  if not short:
    raise InputError(
      f'Expected prompts of at most {longest} tokens in {source}, got '
      f'{len(prompts)} of {min(lengths)} to {max(lengths)}. Raise '
      '--config.prompts.max_prompt_length.'
    )
  if len(short) < len(prompts):
    logging.warning(
      '%d of %d prompts of %s are longer than %d tokens, the longest of %d, '
      'and are left out.',
      *(len(prompts) - len(short), len(prompts), source, longest),
      max(lengths),
    )
  return prompts.take(short)
