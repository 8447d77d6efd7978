"""The prompts of a run and what is known of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.build.checks import named
from adrpo_jax.data import prompts as prompt_sources
from adrpo_jax.types import PyTree
from adrpo_jax.worlds import WORLDS, World


class Task(NamedTuple):
  """What is asked for.

  training: the prompts that are trained on
  held_out: (text, category) of those that are judged
  facts:    (texts) -> pytree [N, ...], what rewards hold samples against
  """

  training: prompt_sources.PromptSet
  held_out: tuple[tuple[str, str], ...]
  facts: Callable[[Sequence[str]], PyTree]


def make_task(config: ConfigDict) -> tuple[Task, World]:
  """The task of a config, and the world it is set in."""
  world = named(WORLDS, config.world, 'world')
  training = _prompt_set(config.prompts.source, world)
  held_out = _held_out(world, config.eval.prompts)
  return Task(training, held_out, world.facts), world


def _prompt_set(source: str, world: World) -> prompt_sources.PromptSet:
  if not source:
    return _balanced(world.prompts('train'), 256)

  def check(text: str) -> None:
    world.tokenise([text])
    world.facts([text])

  return prompt_sources.load(source, check=check)


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
