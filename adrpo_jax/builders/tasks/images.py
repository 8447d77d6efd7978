"""The prompts of a run, and what is known and measured of their pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.builders.checks import named
from adrpo_jax.builders.parts import make_reward
from adrpo_jax.builders.tasks.base import Task, balanced, in_turn, repeated
from adrpo_jax.data import prompts as prompt_sources
from adrpo_jax.errors import InputError
from adrpo_jax.report.sample_kinds import IMAGES
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import WORLDS, World

DISTINCT = 256  # training prompts of a category of a world


class Judge(NamedTuple):
  """What is known of prompts and seen in their pictures, whoever made them.

  check:    raises ValueError for a prompt that it knows nothing of
  facts:    (texts) -> pytree [N, ...], what rewards hold samples against
  measure:  (images [P, G, ...], facts) -> name -> [P], see `make_evaluate`
  describe: (images [B, ...]) -> what it sees in each, as text
  reduced:  (pictures [..., H, W, 3]) -> at the size that it judges
  """

  check: Callable[[str], object]
  facts: Callable[[Sequence[str]], PyTree]
  measure: Callable[[Array, PyTree], Mapping[str, Array]]
  describe: Callable[[Array], list[str]]
  reduced: Callable[[np.ndarray], np.ndarray]


def make_picture_task(config: ConfigDict) -> Task:
  """Prompts of an embedded world, or of files for any picture at all."""
  judge = make_judge(config)
  training, held_out = (
    _of_world(config, named(WORLDS, config.world, 'world'), judge)
    if config.world
    else _of_files(config)
  )
  return Task(
    training=training,
    held_out=held_out,
    check=judge.check,
    facts=judge.facts,
    measure=judge.measure,
    kind=IMAGES.bind(judge.describe),
    reward=lambda reward, prompts, normalizers: make_reward(
      reward, prompts.texts, normalizers
    ),
  )


def make_judge(config: ConfigDict) -> Judge:
  """Of an embedded world, or one that leaves all judging to the rewards."""
  if config.world:
    return _judge_of(config, named(WORLDS, config.world, 'world'))
  return Judge(
    check=str,
    facts=lambda texts: (),
    measure=lambda images, facts: {},
    describe=lambda images: [''] * len(images),
    reduced=lambda pictures: pictures,
  )


def _judge_of(config: ConfigDict, world: World) -> Judge:
  held_out = in_turn(_listed(world, 'held_out'), config.eval.num_prompts)
  facts = world.facts(held_out.texts)
  drawn = jax.jit(
    lambda facts: world.spread(
      world.truth(facts, config.eval.group_size), facts
    )
  )
  of_truth = float(np.nanmean(drawn(facts)[0]))

  def measure(images: Array, facts: PyTree) -> dict[str, Array]:
    """Diversity in units of that of rendered truth."""
    spread, readable = world.spread(images, facts)
    return {
      'diversity': spread / of_truth,
      'unreadable': 1.0 - readable.mean(1),
    }

  def check(text: str) -> None:
    world.tokenize([text])
    world.facts([text])

  return Judge(check, world.facts, measure, world.describe, world.reduced)


def _of_world(
  config: ConfigDict, world: World, judge: Judge
) -> tuple[prompt_sources.PromptSet, prompt_sources.PromptSet]:
  source = config.prompts.source
  training = (
    prompt_sources.load(source, check=judge.check)
    if source
    else balanced(_listed(world, 'train'), DISTINCT)
  )
  return training, in_turn(_listed(world, 'held_out'), config.eval.num_prompts)


def _of_files(
  config: ConfigDict,
) -> tuple[prompt_sources.PromptSet, prompt_sources.PromptSet]:
  for name in ('source', 'eval_prompts'):
    if not config.prompts[name]:
      raise InputError(
        f'Expected --config.prompts.{name}=FILE, prompts as .txt, .jsonl, '
        '.csv, .tsv or tfds:NAME, since there is no world to take them from.'
      )
  judged = prompt_sources.load(config.prompts.eval_prompts)
  categories = tuple(category or 'all' for category in judged.categories)
  judged = prompt_sources.PromptSet(judged.texts, categories, judged.answers)
  return (
    prompt_sources.load(config.prompts.source),
    repeated(judged, config.eval.num_prompts),
  )


def _listed(world: World, split: str) -> prompt_sources.PromptSet:
  texts, categories = zip(*world.prompts(split), strict=True)
  return prompt_sources.PromptSet(texts, categories)
