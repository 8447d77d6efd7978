"""The prompts of a run of images, their facts, and what judges them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
import json
import pathlib
from typing import NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax import worlds
from adrpo_jax.builders.checks import lookup
from adrpo_jax.builders.parts import make_reward, reward_terms
from adrpo_jax.builders.tasks.base import (
  Task,
  balanced,
  in_turn,
  prompt_reader,
  prompts_of_files,
  prompts_of_world,
  sampled,
)
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.report.sample_kinds import IMAGES
from adrpo_jax.rewards.user_rewards import IMAGE_FORMS
from adrpo_jax.system import cache_files
from adrpo_jax.system.cache_files import cache_folder
from adrpo_jax.system.fingerprint import fingerprint
from adrpo_jax.system.versions import device_name
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import WORLDS, World

DISTINCT = 256  # training prompts of a category of a world


class Judge(NamedTuple):
  """The facts of prompts and the judgment of images, of any origin.

  check:     raises ValueError for a prompt without facts
  facts:     (texts) -> pytree [N, ...], what rewards compare samples with
  measure:   (images [P, G, ...], facts) -> name -> [P], see `make_evaluate`
  describe:  (images [B, ...]) -> what each image shows, as text
  downscale: (images [..., H, W, 3]) -> the images at the size that is judged
  """

  check: Callable[[str], object]
  facts: Callable[[Sequence[str]], PyTree]
  measure: Callable[[Array, PyTree], Mapping[str, Array]]
  describe: Callable[[Array], list[str]]
  downscale: Callable[[np.ndarray], np.ndarray]


NO_JUDGE = Judge(
  check=str,
  facts=lambda texts: (),
  measure=lambda images, facts: {},
  describe=lambda images: [''] * len(images),
  downscale=lambda images: images,
)


def make_image_task(config: ConfigDict) -> Task:
  """Makes the task of an embedded world, or of prompt files."""
  terms = reward_terms(config.reward, IMAGE_FORMS)
  for name, world in terms.of_worlds().items():
    if world != config.world:
      raise InputError(
        f'Expected --config.world={world} with the reward {name!r}, which '
        f'judges its prompts alone, got {config.world!r}. Without that world '
        f'set --config.reward.weights.{name}=0, and give another a weight.'
      )
  judge = make_judge(config)
  training, held_out = (
    _of_world(config, judge) if config.world else _of_files(config)
  )
  return Task(
    training=training,
    held_out=held_out,
    check=judge.check,
    facts=judge.facts,
    measure=judge.measure,
    kind=IMAGES.bind(judge.describe),
    reward=lambda prompts, normalizers: make_reward(
      terms, prompts.texts, normalizers
    ),
  )


def make_judge(config: ConfigDict) -> Judge:
  """Makes the judge of a world; without a world, rewards alone judge."""
  if config.world:
    return _judge_of(config, lookup(WORLDS, config.world, 'world'))
  return NO_JUDGE


def _judge_of(config: ConfigDict, world: World) -> Judge:
  of_truth = _spread_of_truth(
    world, config.eval.num_prompts, config.eval.group_size
  )

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

  return Judge(check, world.facts, measure, world.describe, world.downscale)


@cache
def _spread_of_truth(world: World, num_prompts: int, group_size: int) -> float:
  """The mean spread of images that are drawn right; once in a process.

  That of a world of this package is kept in the cache: its code is known.
  """
  held_out = in_turn(_listed(world, 'held_out'), num_prompts)

  def spread(facts: PyTree) -> tuple[Array, Array]:
    return world.spread(world.truth(facts, group_size), facts)

  def computed() -> float:
    return float(np.nanmean(jax.jit(spread)(world.facts(held_out.texts))[0]))

  if not getattr(world.truth, '__module__', '').startswith(worlds.__name__):
    return computed()
  code = pathlib.Path(worlds.__file__).parent
  name = fingerprint(
    [code], held_out.texts, group_size, jax.__version__, device_name()
  )
  file = cache_folder() / f'spread_{name}.json'
  if (stored := cache_files.read(file)) is not None:
    return json.loads(stored)
  value = computed()
  cache_files.write(file, json.dumps(value).encode())
  return value


def _of_world(config: ConfigDict, judge: Judge) -> tuple[PromptSet, PromptSet]:
  world = lookup(WORLDS, config.world, 'world')
  return prompts_of_world(
    config,
    partial(_listed, world),
    judge.check,
    lambda prompts: balanced(prompts, DISTINCT),
  )


def _of_files(config: ConfigDict) -> tuple[PromptSet, PromptSet]:
  training, evaluated = prompts_of_files(
    config,
    '.txt, .jsonl, .csv, .tsv, .json or tfds:NAME',
    prompt_reader(config),
  )
  return training, sampled(evaluated, config.eval.num_prompts)


def _listed(world: World, split: str) -> PromptSet:
  texts, categories = zip(*world.prompts(split), strict=True)
  return PromptSet(texts, categories)
