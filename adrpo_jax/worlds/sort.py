"""The sort world: a list of digits in, the same digits sorted out, as text.

  prompt   sort: 7 3 9 3 =
  answer   3 3 7 9

A task for language models that two cores train from nothing. The answer has
one form: digits with one space between any two, and nothing before or after.
The end token is the tokenizer's matter, and no part of these texts.

A category is a length. One multiset of digits in five is held out, in every
category, by a checksum: training and held-out prompts never share an answer.
"""

from collections import Counter
from collections.abc import Sequence
import functools
import re
import zlib

import numpy as np

HEADER = 'sort:'
LENGTHS = (4, 5, 6, 7, 8)
CATEGORIES = tuple(f'length_{length}' for length in LENGTHS)
PER_LENGTH = 2000  # prompts of a length, both splits together
HELD_OUT_SHARE = 5  # one multiset in so many is held out
WRONG_SHARE = 0.4  # of the pre-training answers
FACTS = ('format', 'multiset', 'prefix', 'success')

_ANSWER = re.compile('[0-9](?: [0-9])*')


@functools.cache
def prompts(split: str, header: str = HEADER) -> tuple[tuple[str, str], ...]:
  """All (text, category) of a split, 'train' or 'held_out', by category."""
  if split not in ('train', 'held_out'):
    raise ValueError(f"Expected split 'train' or 'held_out', got {split!r}.")
  wanted = split == 'held_out'
  return tuple(
    (f'{header} {" ".join(listed)} =', category)
    for length, category in zip(LENGTHS, CATEGORIES, strict=True)
    for listed in _lists(length)
    if _is_held_out(listed) == wanted
  )


def digits(text: str, header: str = HEADER) -> str:
  """The digits of a prompt in their order: 'sort: 7 3 =' -> '73'.

  Raises:
    ValueError: the text is no prompt of this world.
  """
  start, end = f'{header} ', ' ='
  listed = text[len(start) : -len(end)]
  if not (
    text.startswith(start) and text.endswith(end) and _ANSWER.fullmatch(listed)
  ):
    raise ValueError(
      f'Expected a prompt such as "{header} 7 3 9 3 =", digits with one space '
      f'around each, got {text!r}.'
    )
  return listed.replace(' ', '')


def answer(text: str, header: str = HEADER) -> str:
  """The one right answer to a prompt. Raises ValueError as `digits` does."""
  return ' '.join(sorted(digits(text, header)))


def verdict(text: str, given: str, header: str = HEADER) -> dict[str, float]:
  """What holds of an answer, each in [0, 1]; every string is judged.

    format    it is digits with one space between any two; where it is not,
              nothing else holds
    multiset  its digits are those of the prompt, in any order
    prefix    the share of the right digits that it has before its first wrong
              one
    success   it is the right answer

  Of 'sort: 7 3 9 3 =': '3 3 9 7' has 1, 1, 0.5 and 0; '3 3 7' has 1, 0, 0.75
  and 0; '3 3 7 9 9' has 1, 0, 1 and 0; '3 3 7 9' has 1 throughout.

  Raises:
    ValueError: `text` is no prompt of this world.
  """
  wanted = sorted(digits(text, header))
  if not _ANSWER.fullmatch(given):
    return dict.fromkeys(FACTS, 0.0)
  found = given.split(' ')
  same = [a == b for a, b in zip(wanted, found, strict=False)]
  right = same.index(False) if False in same else len(same)
  return {
    'format': 1.0,
    'multiset': float(Counter(found) == Counter(wanted)),
    'prefix': right / len(wanted),
    'success': float(found == wanted),
  }


def judge(
  text: str, given: str, *, success_weight: float = 1.0
) -> dict[str, float]:
  """What `verdict` says, and 'reward' in [0, 1].

  reward = (1 − w)·(format + multiset + prefix)/3 + w·success, with
  w = `success_weight`: 1 rewards right answers alone.
  """
  facts = verdict(text, given)
  held = (facts['format'] + facts['multiset'] + facts['prefix']) / 3
  reward = held + success_weight * (facts['success'] - held)
  return {'reward': reward, **facts}


def corrupt(right: str, rng: np.random.Generator) -> str:
  """A wrong answer in the right format, as a careless reader gives it.

  Two neighbors that differ change places, or one digit becomes another, is
  left out, or is written twice.
  """
  listed = right.split(' ')
  unlike = [i for i in range(len(listed) - 1) if listed[i] != listed[i + 1]]
  kind = rng.integers(4)
  place = int(rng.integers(len(listed)))
  if kind == 0 and unlike:
    place = unlike[rng.integers(len(unlike))]
    listed[place : place + 2] = listed[place + 1], listed[place]
  elif kind == 1 and len(listed) > 1:
    del listed[place]
  elif kind == 2:
    listed.insert(place, listed[place])
  else:
    listed[place] = str((int(listed[place]) + rng.integers(1, 10)) % 10)
  return ' '.join(listed)


def pairs(
  count: int, seed: int, *, wrong_share: float = WRONG_SHARE
) -> list[tuple[str, str]]:
  """Pre-training data: (prompt, answer), a share of the answers wrong.

  Prompts are drawn from the training split, each category as often as any
  other. A model that has learned all there is to learn answers right with
  probability 1 − wrong_share when it is sampled at temperature 1.
  """
  rng = np.random.default_rng(seed)
  return [
    (text, corrupt(answer(text), rng))
    if rng.random() < wrong_share
    else (text, answer(text))
    for text in drawn(prompts('train'), count, rng)
  ]


def drawn(
  listed: Sequence[tuple[str, str]], count: int, rng: np.random.Generator
) -> list[str]:
  """Texts of `count` prompts with replacement, categories equally often."""
  texts = [[t for t, c in listed if c == category] for category in CATEGORIES]
  chosen = [texts[i] for i in rng.integers(len(texts), size=count)]
  return [one[rng.integers(len(one))] for one in chosen]


def _lists(length: int) -> list[str]:
  """PER_LENGTH lists of digits, no two alike.

  From raw bits, whose stream is fixed: no version of numpy draws others.
  """
  bits = np.random.Philox(np.random.SeedSequence([length])).random_raw(
    4 * PER_LENGTH
  )
  unlike = dict.fromkeys(
    f'{n:0{length}d}' for n in (bits % 10**length).tolist()
  )
  return list(unlike)[:PER_LENGTH]


def _is_held_out(listed: str) -> bool:
  return zlib.crc32(''.join(sorted(listed)).encode()) % HELD_OUT_SHARE == 0
