"""The items of the tones world: a clip, a question, its options, its answer.

A structure is a list of kinds. Within a split, each answer of a question is as
frequent as the others, and stands as often at each place among the options. So
neither the words of a question nor the order of its options say its answer.
"""

from collections.abc import Callable, Sequence
import functools
import itertools
from typing import NamedTuple
import zlib

import numpy as np

from adrpo_jax.worlds.tones import questions
from adrpo_jax.worlds.tones.clips import Clip, address
from adrpo_jax.worlds.tones.events import EVENTS
from adrpo_jax.worlds.tones.questions import Question

SPLITS = {'train': 500, 'held_out': 100}  # items of a question
HELD_OUT_PERIOD = 5  # one structure in so many is held out
# The remainder of those that are. With it each answer of every question, the
# rare ones included, has structures in both splits.
HELD_OUT_REMAINDER = 2
OPTIONS = 4  # of a question, where it has so many answers

# (n) -> an index below n, at random.
Draw = Callable[[int], int]


class Item(NamedTuple):
  """One item.

  text:     the prompt, a question and its options
  category: sound, music or speech
  answer:   a right completion; it states the kinds and the right option
  choices:  the options
  audio:    the address of the clip
  """

  text: str
  category: str
  answer: str
  choices: tuple[str, ...]
  audio: str


@functools.cache
def items(split: str) -> tuple[Item, ...]:
  """All items of a split, 'train' or 'held_out', by category.

  Raises:
    ValueError: there is no such split.
  """
  if split not in SPLITS:
    raise ValueError(f"Expected split 'train' or 'held_out', got {split!r}.")
  return tuple(
    _item(category, forms, split, _draws(split, category, number, i), i)
    for category, listed in questions.QUESTIONS.items()
    for number, forms in enumerate(listed)
    for i in range(SPLITS[split])
  )


def make_item(question: Question, clip: Clip, draw: Draw) -> Item:
  """Makes the item of a question about a clip, with options at random.

  Raises:
    ValueError: the question has no answer for this clip.
  """
  gold = question.answer(clip.kinds)
  if gold is None:
    raise ValueError(f'{question.text} has no answer for {clip.kinds}.')
  wrong = [option for option in question.options if option != gold]
  while len(wrong) >= OPTIONS:
    del wrong[draw(len(wrong))]
  for i in range(len(wrong) - 1, 0, -1):  # Fisher and Yates
    j = draw(i + 1)
    wrong[i], wrong[j] = wrong[j], wrong[i]
  wrong.insert(draw(len(wrong) + 1), gold)
  return Item(
    questions.written(question, wrong),
    clip.category,
    completion(clip.kinds, gold),
    tuple(wrong),
    address(clip),
  )


def completion(kinds: Sequence[str], option: str) -> str:
  """Returns a completion in the right format."""
  return f'<think> {" ".join(kinds)} </think> <answer> {option} </answer>'


@functools.cache
def structures(category: str, split: str) -> tuple[tuple[str, ...], ...]:
  """All lists of two to four kinds of a category that belong to a split."""
  return tuple(
    kinds
    for length in (2, 3, 4)
    for kinds in itertools.product(EVENTS[category], repeat=length)
    if _is_held_out(category, kinds) == (split == 'held_out')
  )


@functools.cache
def _by_answer(
  category: str, split: str, text: str
) -> dict[str, tuple[tuple[str, ...], ...]]:
  """Answer -> the structures of a split for which a question has it."""
  _, question = questions.BY_TEXT[text]
  found: dict[str, list[tuple[str, ...]]] = {}
  for kinds in structures(category, split):
    gold = question.answer(kinds)
    if gold is not None:
      found.setdefault(gold, []).append(kinds)
  return {gold: tuple(listed) for gold, listed in sorted(found.items())}


def _item(
  category: str,
  forms: Sequence[Question],
  split: str,
  draw: Draw,
  number: int,
) -> Item:
  question = forms[draw(len(forms))]
  possible = list(_by_answer(category, split, question.text).values())
  listed = possible[number % len(possible)]
  kinds = listed[draw(len(listed))]
  return make_item(question, Clip(category, kinds, draw(2**31)), draw)


def _draws(*names: object) -> Draw:
  """Draws from raw bits, the same in every version of numpy."""
  seed = zlib.crc32(' '.join(map(str, names)).encode())
  bits = np.random.Philox(np.random.SeedSequence([seed]))
  return lambda n: int(bits.random_raw() % n)


def _is_held_out(category: str, kinds: Sequence[str]) -> bool:
  checksum = zlib.crc32(','.join((category, *kinds)).encode())
  return checksum % HELD_OUT_PERIOD == HELD_OUT_REMAINDER
