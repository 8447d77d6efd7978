"""The English of the shapes world: prompts, their facts, their splits.

  single       a [size] color shape
  binding      a color shape and a color shape
  relation     a color shape left of a color shape
  counting     three color shapes
  style        a [size] style color shape
  composition  a color shape left of a color shape and above a color shape

A combination is the content of a prompt in any wording ("a is left of b" equals
"b is right of a"). One combination in five is held out, in every category, by a
checksum: training and held-out prompts never share a combination.
"""

from collections.abc import Iterator, Sequence
import functools
import itertools
import zlib

import numpy as np

from adrpo_jax.errors import did_you_mean
from adrpo_jax.worlds import shapes
from adrpo_jax.worlds.shapes import (
  COLORS,
  FREE,
  RELATIONS,
  SHAPES,
  SIZES,
  STYLES,
  Facts,
)

CATEGORIES = (
  'single',
  'binding',
  'relation',
  'counting',
  'style',
  'composition',
)
COUNTS = ('two', 'three', 'four')
PLURALS = tuple(s + ('es' if s.endswith('s') else 's') for s in SHAPES)
WORDS = ('', 'a', 'an', 'and', 'left', 'right', 'of', 'above', 'below') + (
  COUNTS + SIZES + STYLES + COLORS + SHAPES + PLURALS
)
LENGTH = 14  # words of the longest prompt; shorter ones are padded with ''
HELD_OUT_PERIOD = 5  # one combination in so many is held out
COMPOSITIONS = 6000  # a fixed sample of the 36,000 that the grammar allows


def tokenize(texts: Sequence[str]) -> np.ndarray:
  """Prompts -> word indices [N, LENGTH] int32; the empty prompt is all 0."""
  index = {word: i for i, word in enumerate(WORDS)}
  tokens = np.zeros((len(texts), LENGTH), np.int32)
  for row, text in zip(tokens, texts, strict=True):
    words = text.lower().split()
    if len(words) > LENGTH:
      raise ValueError(
        f'Expected at most {LENGTH} words, got {len(words)} in {text!r}. '
        'Shorten the prompt.'
      )
    for i, word in enumerate(words):
      if word not in index:
        hint = did_you_mean(word, WORDS[1:])
        raise ValueError(
          f'The shapes world does not know the word {word!r} in {text!r}.'
          f'{hint} It knows: {" ".join(WORDS[1:])}.'
        )
      row[i] = index[word]
  return tokens


def facts(texts: Sequence[str]) -> Facts:
  """Prompts -> the facts that they state, as numpy arrays [N, ...]."""
  return Facts._make(
    np.stack(leaf) for leaf in zip(*map(_facts, texts), strict=True)
  )


@functools.cache
def prompts(split: str) -> tuple[tuple[str, str], ...]:
  """All (text, category) of a split, 'train' or 'held_out', by category."""
  if split not in ('train', 'held_out'):
    raise ValueError(f"Expected split 'train' or 'held_out', got {split!r}.")
  wanted = split == 'held_out'
  return tuple(
    (text, category)
    for text, category, held_out in _all_prompts()
    if held_out == wanted
  )


@functools.cache
def _all_prompts() -> tuple[tuple[str, str, bool], ...]:
  """All (text, category, whether it is held out), by category."""
  return tuple(
    (text, category, is_held_out(text))
    for category in CATEGORIES
    for text in _texts(category)
  )


def is_held_out(text: str) -> bool:
  """Returns True where the combination of a prompt is held out."""
  return zlib.crc32(_combination(text).encode()) % HELD_OUT_PERIOD == 0


def corrupt(stated: Facts, rng: np.random.Generator) -> Facts:
  """Changes one fact of each prompt: [N, ...] -> [N, ...].

  Two objects swap colors, or a relation is reversed, or the count changes, or
  one attribute changes, as in careless captions.
  """
  changed = Facts._make(np.array(leaf) for leaf in stated)
  sizes = (len(SHAPES), len(COLORS), len(SIZES), len(STYLES))
  for n in range(len(changed.objects)):
    objects = changed.objects[n]
    attributes = np.stack([leaf[n] for leaf in changed[:4]])
    counted = (
      objects > 1 and (attributes[:, :1] == attributes).all(0)[1:objects].all()
    )
    if counted:
      _recount(changed, n, rng)
    elif (changed.relations[n, :, 1] != FREE).any() and rng.random() < 0.5:
      stated_relations = np.flatnonzero(changed.relations[n, :, 1] != FREE)
      changed.relations[n, rng.choice(stated_relations), 1] ^= 1
    elif objects > 1 and rng.random() < 0.6:
      i, j = rng.choice(objects, 2, replace=False)
      changed.color[n, [i, j]] = changed.color[n, [j, i]]
    else:
      slot = rng.integers(objects)
      which = rng.choice(np.flatnonzero(attributes[:, slot] != FREE))
      step = rng.integers(1, sizes[which])
      changed[which][n, slot] = (attributes[which, slot] + step) % sizes[which]
  return changed


def _recount(changed: Facts, n: int, rng: np.random.Generator) -> None:
  """Draws another number of the same objects."""
  others = [c for c in range(1, shapes.SLOTS + 1) if c != changed.objects[n]]
  changed.objects[n] = rng.choice(others)
  for leaf in changed[:4]:
    leaf[n] = np.where(
      np.arange(shapes.SLOTS) < changed.objects[n], leaf[n, 0], FREE
    )


def _things() -> Iterator[tuple[str, str]]:
  return itertools.product(COLORS, SHAPES)


def _distinct_pairs() -> Iterator[tuple]:
  """Two objects that differ in both color and shape, in either order."""
  for first, second in itertools.product(_things(), _things()):
    if first[0] != second[0] and first[1] != second[1]:
      yield first, second


def _texts(category: str) -> list[str]:
  if category == 'single':
    return [
      f'a {size} {c} {s}'.replace('  ', ' ')
      for size in ('', *SIZES)
      for c, s in _things()
    ]
  if category == 'style':
    return [
      _article(f'{size} {style} {c} {s}'.strip())
      for size in ('', *SIZES)
      for style in STYLES
      for c, s in _things()
    ]
  if category == 'counting':
    return [
      f'{count} {c} {plural}'
      for count in COUNTS
      for c in COLORS
      for plural in PLURALS
    ]
  if category == 'binding':
    return [f'a {a} {b} and a {c} {d}' for (a, b), (c, d) in _distinct_pairs()]
  if category == 'relation':
    return [
      f'a {a} {b} {relation} a {c} {d}'
      for (a, b), (c, d) in _distinct_pairs()
      for relation in RELATIONS
    ]
  rng = np.random.default_rng(0)
  texts: dict[str, None] = {}
  while len(texts) < COMPOSITIONS:
    colors = rng.choice(COLORS, 3, replace=False)
    figures = rng.choice(SHAPES, 3, replace=False)
    # One relation along each axis: always possible, never contradictory.
    across, along = rng.choice(RELATIONS[:2]), rng.choice(RELATIONS[2:])
    first, second = rng.permutation([across, along])
    a, b, c = (f'a {x} {y}' for x, y in zip(colors, figures, strict=True))
    texts[f'{a} {first} {b} and {second} {c}'] = None
  return list(texts)


def _article(phrase: str) -> str:
  return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def _combination(text: str) -> str:
  """The canonical form of a prompt, equal for every wording of one content."""
  stated = _facts(text)
  things = [
    tuple(int(leaf[i]) for leaf in stated[:4])
    for i in range(int(stated.objects))
  ]
  relations = sorted(
    (
      kind & ~1,
      *((things[j], things[i]) if kind & 1 else (things[i], things[j])),
    )
    for i, kind, j in stated.relations.tolist()
    if kind != FREE
  )
  return repr((sorted(things), relations))


def _facts(text: str) -> Facts:
  """Reads one prompt by the grammar at the top of this file."""
  words = text.lower().split()
  position = 0

  def take(options: Sequence[str]) -> str | None:
    nonlocal position
    for option in options:
      parts = option.split()
      if words[position : position + len(parts)] == parts:
        position += len(parts)
        return option
    return None

  attributes = np.full((4, shapes.SLOTS), FREE, np.int32)
  relations = np.full((shapes.RELATION_SLOTS, 3), FREE, np.int32)

  def phrase(slot: int) -> int:
    """Reads 'a [size] [style] color shape' or 'three color shapes'."""
    count = take(COUNTS)
    article = count or take(('a', 'an'))
    size, style = take(SIZES), take(STYLES)
    color = take(COLORS)
    figure = take(PLURALS if count else SHAPES)
    number = COUNTS.index(count) + 2 if count else 1
    if not (article and color and figure) or slot + number > shapes.SLOTS:
      raise ValueError(
        f'Expected a prompt such as "a red circle left of a blue square" or '
        f'"three green crosses", with at most {shapes.SLOTS} objects, got '
        f'{text!r}.'
      )
    values = (
      (PLURALS if count else SHAPES).index(figure),
      COLORS.index(color),
      SIZES.index(size) if size else FREE,
      STYLES.index(style) if style else FREE,
    )
    attributes[:, slot : slot + number] = np.array(values)[:, None]
    return slot + number

  objects, stated = phrase(0), 0
  while position < len(words):
    conjunction, relation = take(('and',)), take(RELATIONS)
    if relation and stated < shapes.RELATION_SLOTS:
      relations[stated] = 0, RELATIONS.index(relation), objects
      stated += 1
    elif relation or not conjunction:
      raise ValueError(
        f'Expected "and" or one of {RELATIONS} (at most '
        f'{shapes.RELATION_SLOTS}), got {" ".join(words[position:])!r} in '
        f'{text!r}.'
      )
    objects = phrase(objects)
  return Facts._make([*attributes, np.int32(objects), relations])
