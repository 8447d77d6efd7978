"""The prompts of a run of a model that hears, and what judges its answers."""

from typing import Any

from ml_collections import ConfigDict

from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.generators.omni_folder import Hearing, make_hearing
from adrpo_jax.builders.parts import reward_terms
from adrpo_jax.builders.tasks.base import (
  Task,
  in_turn,
  prompt_reader,
  prompts_of_files,
  sampled,
)
from adrpo_jax.builders.tasks.references import with_references
from adrpo_jax.builders.tasks.texts import Judged, answered_task
from adrpo_jax.builders.tasks.tiny_sounds import tiny_questions
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.data.questions import check_options, listed, posed, shuffled
from adrpo_jax.data.sound_checks import (
  check_prompt_lengths,
  encoded,
  sound_lengths,
)
from adrpo_jax.errors import InputError
from adrpo_jax.models.audio.tower import tokens_of
from adrpo_jax.rewards.user_rewards import TEXT_FORMS
from adrpo_jax.samples.clips import Clip, clip_of
from adrpo_jax.samples.texts import make_verdicts
from adrpo_jax.worlds import AUDIO_WORLDS, AudioWorld


def make_audio_task(config: ConfigDict) -> Task:
  """Makes the task of a world of clips, or of files of questions on sounds."""
  terms = reward_terms(config.reward, TEXT_FORMS)
  hearing = make_hearing(config)

  def judged(prompts: PromptSet, source: str) -> PromptSet:
    return with_references(prompts, terms, source)

  training, held_out = (
    _of_world(config, judged)
    if config.world
    else _of_files(_with_files(config), hearing, judged)
  )

  def clips(prompts: PromptSet) -> tuple[Clip, ...]:
    return tuple(_clip(config, hearing, name) for name in prompts.audio or ())

  kept: dict[str, Any] = {'clips': clips}
  if config.world:
    world = lookup(AUDIO_WORLDS, config.world, 'world of clips')
    kept['verdicts'] = make_verdicts(world.verdict)
  return answered_task(
    terms,
    hearing.tokenizer.chat,
    training,
    held_out,
    check=hearing.tokenizer.encode,
    **kept,
  )


def _of_world(
  config: ConfigDict, judged: Judged
) -> tuple[PromptSet, PromptSet]:
  world = lookup(AUDIO_WORLDS, config.world, 'world of clips')
  if config.prompts.source:
    raise InputError(
      f'Expected no --config.prompts.source beside the world {config.world}, '
      f'which makes its own clips, got {config.prompts.source}.'
    )
  held_out = in_turn(_listed(world, 'held_out'), config.eval.num_prompts)
  own = f'the world {config.world}'
  return judged(_listed(world, 'train'), own), judged(held_out, own)


def _listed(world: AudioWorld, split: str) -> PromptSet:
  items = world.items(split)
  return PromptSet(
    texts=tuple(item.text for item in items),
    categories=tuple(item.category for item in items),
    answers=tuple(item.answer for item in items),
    audio=tuple(item.audio for item in items),
    choices=tuple(item.choices for item in items),
  )


def _with_files(config: ConfigDict) -> ConfigDict:
  """The config with the made questions of the tiny model, if it names none."""
  if config.model.family != 'omni_tiny' or config.prompts.source:
    return config
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.prompts.source = config.prompts.eval_prompts = tiny_questions()
  return config


def _of_files(
  config: ConfigDict, hearing: Hearing, judged: Judged
) -> tuple[PromptSet, PromptSet]:
  """The questions of two files, with their sounds checked.

  Options are shuffled in training if the config says so. Evaluations show them
  as the file does.
  """
  asked = config.prompts
  training, evaluated = prompts_of_files(
    config, '.jsonl, .json, .csv, .tsv or tfds:NAME', prompt_reader(config)
  )
  check_options(training, asked.source, trained=True)
  check_options(evaluated, asked.eval_prompts, trained=False)
  order = shuffled(config.seed) if asked.choices == 'shuffled' else listed
  training = posed(training, order, asked.instruction)
  evaluated = posed(evaluated, listed, asked.instruction)
  for prompts, source in (
    (training, asked.source),
    (evaluated, asked.eval_prompts),
  ):
    _check_sounds(prompts, source, hearing, asked.max_prompt_length)
  evaluated = judged(evaluated, asked.eval_prompts)
  return judged(training, asked.source), sampled(
    evaluated, config.eval.num_prompts
  )


def _check_sounds(
  prompts: PromptSet, source: str, hearing: Hearing, longest: int
) -> None:
  """Checks each sound, and that it fits into a prompt with its text."""
  mel = hearing.mel
  texts = encoded(prompts, source, hearing.tokenizer.encode)
  samples = sound_lengths(
    prompts,
    source,
    rate=mel.sampling_rate,
    shortest=mel.shortest,
    seconds=hearing.seconds,
  )
  check_prompt_lengths(
    prompts,
    source,
    words=[text.length(0) for text in texts],
    sounds=[tokens_of(mel.frames(int(count))) for count in samples],
    longest=longest,
  )


def _clip(config: ConfigDict, hearing: Hearing, name: str) -> Clip:
  """The clip of a prompt, as a report plays it."""
  heard = AUDIO_WORLDS[config.world].heard(name) if config.world else ''
  rate = hearing.mel.sampling_rate
  return clip_of(hearing.wave(name), rate, hearing.features(name), heard)
