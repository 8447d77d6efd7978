"""A task: prompts, the rewards and judges of samples, and their kind."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import itertools
from typing import NamedTuple

from ml_collections import ConfigDict
import numpy as np

from adrpo_jax.data.prompts import PromptSet, load
from adrpo_jax.errors import InputError
from adrpo_jax.report.sample_kinds import SampleKind
from adrpo_jax.rewards.normalizers import Named
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.types import Array, PyTree

Normalizers = Callable[[dict[str, Named]], dict[str, Named]]


class Task(NamedTuple):
  """The prompts of a run, and all that depends on the kind of samples.

  training: the prompts to train on
  held_out: the prompts to evaluate on, with a category each
  check:    raises ValueError for a prompt that the task cannot take
  facts:    (texts) -> pytree [N, ...], what rewards compare samples with
  measure:  (decoded, facts) -> name -> [P], see `make_evaluate`
  kind:     images or texts
  reward:   (prompts, normalizers) -> the reward of the config on these, with
            normalizers(those of the config)
  """

  training: PromptSet
  held_out: PromptSet
  check: Callable[[str], object]
  facts: Callable[[Sequence[str]], PyTree]
  measure: Callable[[Array, PyTree], Mapping[str, Array]]
  kind: SampleKind
  reward: Callable[[PromptSet, Normalizers], Reward]


def prompt_reader(config: ConfigDict) -> Callable[..., PromptSet]:
  """The function (source, check=...) of `data.prompts.load` for a config.

  Answers, sounds and options are read where the config has a key of their
  column.
  """
  return functools.partial(
    load,
    text_feature=config.prompts.text_column,
    answer_feature=config.prompts.get('answer_column'),
    audio_feature=config.prompts.get('audio_column'),
    choices_feature=config.prompts.get('choices_column'),
  )


def prompts_of_world(
  config: ConfigDict,
  listed: Callable[[str], PromptSet],
  check: Callable[[str], object],
  trained: Callable[[PromptSet], PromptSet] = lambda prompts: prompts,
) -> tuple[PromptSet, PromptSet]:
  """The prompts of a world: those to train on, those to evaluate.

  Args:
    config: its prompts.source, a file, may take the place of the world's.
    listed: (split) -> the prompts of the world.
    check: raises ValueError for a prompt that the world cannot judge.
    trained: chooses from the training split.
  """
  source = config.prompts.source
  training = (
    prompt_reader(config)(source, check=check)
    if source
    else trained(listed('train'))
  )
  return training, in_turn(listed('held_out'), config.eval.num_prompts)


def prompts_of_files(
  config: ConfigDict,
  formats: str,
  read: Callable[[str], PromptSet],
) -> tuple[PromptSet, PromptSet]:
  """The prompts of two files: those to train on, those to evaluate.

  Raises:
    InputError: the config does not name both; `formats` says what they may be.
  """
  for name in ('source', 'eval_prompts'):
    if not config.prompts[name]:
      raise InputError(
        f'Expected --config.prompts.{name}=FILE, prompts as {formats}, since '
        'there is no world to take them from.'
      )
  training = read(config.prompts.source)
  evaluated = read(config.prompts.eval_prompts)
  categories = tuple(category or 'all' for category in evaluated.categories)
  return training, dataclasses.replace(evaluated, categories=categories)


def balanced(listed: PromptSet, most: int) -> PromptSet:
  """Returns `most` prompts of each category; a small category repeats some."""
  rng = np.random.default_rng(0)
  chosen = []
  for ids in _by_category(listed).values():
    order = rng.permutation(len(ids))
    chosen += [ids[order[i % len(ids)]] for i in range(most)]
  return listed.take(chosen)


def in_turn(listed: PromptSet, count: int) -> PromptSet:
  """Returns `count` prompts, in turn from each category, always the same."""
  rng = np.random.default_rng(1)
  lists = [rng.permutation(ids) for ids in _by_category(listed).values()]
  names = len(lists)
  return listed.take(
    [
      int(lists[i % names][i // names % len(lists[i % names])])
      for i in range(count)
    ]
  )


def sampled(listed: PromptSet, count: int) -> PromptSet:
  """Returns up to `count` prompts, each once, whatever the order of a file.

  A text that is asked of two sounds is two prompts. Of more prompts than that
  some are chosen, in turn from each category and always the same; fewer keep
  their order.
  """
  sounds = listed.audio or ('',) * len(listed)
  asked = list(enumerate(zip(listed.texts, sounds, strict=True)))
  first = {prompt: i for i, prompt in reversed(asked)}
  distinct = listed.take(sorted(first.values()))
  if len(distinct) <= count:
    return distinct
  rng = np.random.default_rng(1)
  lists = [rng.permutation(ids) for ids in _by_category(distinct).values()]
  turns = itertools.zip_longest(*lists)
  chosen = [int(i) for turn in turns for i in turn if i is not None]
  return distinct.take(chosen[:count])


def _by_category(listed: PromptSet) -> dict[str, list[int]]:
  ids: dict[str, list[int]] = {}
  for i, category in enumerate(listed.categories):
    ids.setdefault(category, []).append(i)
  return ids
