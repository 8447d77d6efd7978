"""The prompts of a run of a language model, and what judges its answers."""

from absl import logging
from ml_collections import ConfigDict

from adrpo_jax.builders.checks import named
from adrpo_jax.builders.generators.language_folder import make_chat_tokenizer
from adrpo_jax.builders.parts import make_text_reward
from adrpo_jax.builders.tasks.base import Task, in_turn, repeated
from adrpo_jax.data import prompts as prompt_sources
from adrpo_jax.data import reasoning_prompts
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.models.decoder.chat_tokenizer import ChatTokenizer
from adrpo_jax.report.sample_kinds import TEXTS
from adrpo_jax.worlds import TEXT_WORLDS, TextWorld


def make_text_task(config: ConfigDict) -> Task:
  """Prompts of an embedded world, or of files."""
  tokenizer = make_chat_tokenizer(config)
  training, held_out = (
    _of_world(config, named(TEXT_WORLDS, config.world, 'world of texts'))
    if config.world
    else _of_files(config, tokenizer)
  )

  def check(text: str) -> None:
    length, most = len(tokenizer.encode(text)), config.prompts.max_prompt_length
    if length > most:
      raise ValueError(
        f'Expected prompts of at most {most} tokens, got one of {length}: '
        f'{text[:60]!r}. Shorten it, or raise '
        '--config.prompts.max_prompt_length.'
      )

  for text in (*training.texts[:1], *held_out.texts[:1]):
    check(text)
  return Task(
    training=training,
    held_out=held_out,
    check=check,
    facts=lambda asked: (),
    measure=lambda samples, facts: {},
    kind=TEXTS.bind(tokenizer),
    reward=lambda reward, prompts, normalizers: make_text_reward(
      reward, prompts, tokenizer.decode, normalizers
    ),
  )


def _of_world(
  config: ConfigDict, world: TextWorld
) -> tuple[PromptSet, PromptSet]:
  source = config.prompts.source
  training = (
    prompt_sources.load(source, check=world.answer)
    if source
    else _listed(world, 'train')
  )
  return training, in_turn(_listed(world, 'held_out'), config.eval.num_prompts)


def _listed(world: TextWorld, split: str) -> PromptSet:
  asked, categories = zip(*world.prompts(split), strict=True)
  return PromptSet(asked, categories, tuple(map(world.answer, asked)))


def _of_files(
  config: ConfigDict, tokenizer: ChatTokenizer
) -> tuple[PromptSet, PromptSet]:
  for name in ('source', 'eval_prompts'):
    if not config.prompts[name]:
      raise InputError(
        f'Expected --config.prompts.{name}=FILE, prompts as .txt, .jsonl, '
        '.csv, .tsv, tfds:NAME or reasoning_gym:TASK, since there is no world '
        'to take them from.'
      )
  training, held_out = (
    within(
      prompt_sources.load(source),
      tokenizer,
      config.prompts.max_prompt_length,
      source,
    )
    for source in (config.prompts.source, config.prompts.eval_prompts)
  )
  if config.prompts.source.startswith(reasoning_prompts.SCHEME):
    training = training.chosen(
      reasoning_prompts.apart(training.texts, held_out.texts)
    )
  categories = tuple(category or 'all' for category in held_out.categories)
  held_out = PromptSet(held_out.texts, categories, held_out.answers)
  return training, repeated(held_out, config.eval.num_prompts)


def within(
  prompts: PromptSet, tokenizer: ChatTokenizer, longest: int, source: str
) -> PromptSet:
  """Those prompts that are not longer; how many were left out is said.

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
  return prompts.chosen(short)
