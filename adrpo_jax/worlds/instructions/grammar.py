"""A grammar of prompts: a request about a topic, and one to three constraints.

  Tell me about a river. Use at most 20 words. Do not use commas.

Two things are held out: topics, and combinations of kinds. Of the pairs of
kinds one in six is held out, by a checksum; a combination is held out where it
holds such a pair, so that no training prompt asks for both. Single kinds are
all trained.

All is drawn from raw bits, whose stream is the same in every version of numpy.
"""

from collections.abc import Iterator, Sequence
import functools
import itertools
from typing import Any, NamedTuple, TypeVar
import zlib

import numpy as np

from adrpo_jax.worlds.instructions.conflicts import OPPOSITES
from adrpo_jax.worlds.instructions.constraints import Constraint, constraints
from adrpo_jax.worlds.instructions.topics import REQUESTS, topics
from adrpo_jax.worlds.instructions.wordings import APART, WORDINGS

HELD_OUT_PERIOD = 6  # one pair of kinds in so many is held out
SPLITS = ('train', 'held_out')
T = TypeVar('T')


class Instruction(NamedTuple):
  """A prompt, its category, and the constraints that its answer is to meet."""

  text: str
  category: str
  constraints: tuple[Constraint, ...]


def instructions(split: str, count: int, seed: int = 0) -> list[Instruction]:
  """Returns different prompts, the same for every call.

  Categories of the training split are the numbers of constraints, one, two and
  three; those of the held-out split new_topics and new_combinations, of trained
  topics. The prompts take their categories in turn.

  Args:
    split: 'train' or 'held_out'.
    count: of prompts.
    seed: of another draw.
  """
  if split not in SPLITS:
    raise ValueError(f'Expected a split of {SPLITS}, got {split!r}.')
  choose = _Chooser(seed, SPLITS.index(split))
  made: dict[str, Instruction] = {}
  categories = itertools.cycle(_CATEGORIES[split])
  category = next(categories)
  while len(made) < count:
    drawn = _draw(category, choose)
    if drawn is not None and drawn.text not in made:
      made[drawn.text] = drawn
      category = next(categories)
  return list(made.values())


class _Category(NamedTuple):
  """topics is True for those held out, so is combinations; sizes of sets."""

  name: str
  topics: bool
  combinations: bool
  sizes: tuple[int, ...]


_CATEGORIES = {
  'train': tuple(
    _Category(name, False, False, (size,))
    for size, name in enumerate(('one', 'two', 'three'), 1)
  ),
  'held_out': (
    _Category('new_topics', True, False, (1, 2, 3)),
    _Category('new_combinations', False, True, (2, 3)),
  ),
}


@functools.cache
def combinations(size: int, held_out: bool) -> tuple[tuple[str, ...], ...]:
  """Returns the sets of so many kinds that go together, of one split."""
  return tuple(
    kinds
    for kinds in itertools.combinations(WORDINGS, size)
    if not any(set(pair) <= set(kinds) for pair in (*OPPOSITES, *APART))
    and any(map(_is_held_out, itertools.combinations(kinds, 2))) == held_out
  )


def _is_held_out(pair: Sequence[str]) -> bool:
  return zlib.crc32(' '.join(sorted(pair)).encode()) % HELD_OUT_PERIOD == 0


class _Chooser:
  """Draws from an endless stream of raw bits."""

  def __init__(self, *seed: int):
    self._bits = np.random.Philox(np.random.SeedSequence(seed))

  def __call__(self, listed: Sequence[T]) -> T:
    return listed[int(self._bits.random_raw()) % len(listed)]


def _draw(category: _Category, choose: _Chooser) -> Instruction | None:
  """Returns a prompt; None for constraints that no answer meets together."""
  size = choose(category.sizes)
  kinds = choose(combinations(size, category.combinations))
  topic = choose(topics(category.topics))
  said = [choose(REQUESTS).format(topic)]
  given = []
  for kind in kinds:
    wording = choose(WORDINGS[kind])
    fields = {key: choose(values) for key, values in wording.fields.items()}
    given.append({'kind': kind, **fields})
    said.append(choose(wording.sentences).format_map(dict(_spelt(fields))))
  try:
    return Instruction(' '.join(said), category.name, constraints(given))
  except ValueError:
    return None


def _spelt(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
  for key, value in fields.items():
    texts = isinstance(value, tuple)
    yield key, ' and '.join(f'"{v}"' for v in value) if texts else value
