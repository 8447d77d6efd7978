"""The prompts of a run, and what is known and measured of their pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.build.checks import named
from adrpo_jax.data import prompts as prompt_sources
from adrpo_jax.errors import InputError
from adrpo_jax.types import Array, PyTree
from adrpo_jax.worlds import WORLDS, World


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


class Task(NamedTuple):
  """What is asked for.

  training: the prompts that are trained on
  held_out: (text, category) of those that are judged
  """

  training: prompt_sources.PromptSet
  held_out: tuple[tuple[str, str], ...]
  judge: Judge


def make_task(config: ConfigDict) -> Task:
  """Prompts of an embedded world, or of files for any picture at all."""
  judge = make_judge(config)
  if config.world:
    world = named(WORLDS, config.world, 'world')
    held_out = _held_out(world, config.eval.prompts)
    training = _prompt_set(config.prompts.source, world, judge)
    return Task(training, held_out, judge)
  return _of_files(config, judge)


def make_judge(config: ConfigDict) -> Judge:
  """Of an embedded world, or one that leaves all judging to the rewards."""
  if config.world:
    return _of_world(config, named(WORLDS, config.world, 'world'))
  return Judge(
    check=str,
    facts=lambda texts: (),
    measure=lambda images, facts: {},
    describe=lambda images: [''] * len(images),
    reduced=lambda pictures: pictures,
  )


def _of_world(config: ConfigDict, world: World) -> Judge:
  held_out = _held_out(world, config.eval.prompts)
  facts = world.facts([text for text, _ in held_out])
  drawn = jax.jit(
    lambda facts: world.spread(world.truth(facts, config.eval.samples), facts)
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
    world.tokenise([text])
    world.facts([text])

  return Judge(check, world.facts, measure, world.describe, world.reduced)


def _of_files(config: ConfigDict, judge: Judge) -> Task:
  for name in ('source', 'held_out'):
    if not config.prompts[name]:
      raise InputError(
        f'Expected --config.prompts.{name}=FILE, prompts as .txt, .jsonl, '
        '.csv, .tsv or tfds:NAME, since there is no world to take them from.'
      )
  judged = prompt_sources.load(config.prompts.held_out)
  places = [i % len(judged) for i in range(config.eval.prompts)]
  return Task(
    prompt_sources.load(config.prompts.source),
    tuple((judged.texts[i], judged.categories[i] or 'all') for i in places),
    judge,
  )


def _prompt_set(
  source: str, world: World, judge: Judge
) -> prompt_sources.PromptSet:
  if not source:
    return _balanced(world.prompts('train'), 256)
  return prompt_sources.load(source, check=judge.check)


def _balanced(listed, most: int) -> prompt_sources.PromptSet:
  """The same number of prompts of each category, at most `most` distinct."""
  by_category: dict[str, list[str]] = {}
  for text, category in listed:
    by_category.setdefault(category, []).append(text)
  rng = np.random.default_rng(0)
  pairs = [
    (texts[i % len(texts)], category)
    for category, texts in by_category.items()
    for texts in [list(rng.permutation(texts))]
    for i in range(most)
  ]
  texts, categories = zip(*pairs, strict=True)
  return prompt_sources.PromptSet(texts, categories)


def _held_out(world: World, count: int) -> tuple[tuple[str, str], ...]:
  """`count` held-out prompts in turn from each category, always the same."""
  listed = world.prompts('held_out')
  names = list(dict.fromkeys(category for _, category in listed))
  rng = np.random.default_rng(1)
  lists = [
    rng.permutation([t for t, c in listed if c == name]) for name in names
  ]
  return tuple(
    (
      str(lists[i % len(names)][i // len(names) % len(lists[i % len(names)])]),
      names[i % len(names)],
    )
    for i in range(count)
  )
