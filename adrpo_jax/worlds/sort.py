"""The sort world: the digits of a list, in order, as text.

  prompt   sort: 7 3 9 3 =
  answer   3 3 7 9

It is a task for language models that two cores train from scratch. The answer
has one form: digits with one space between any two, and nothing before or
after. The tokenizer adds the end token, which is no part of these texts.

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
HELD_OUT_PERIOD = 5  # one multiset in so many is held out
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
    ValueError: the text is not a prompt of this world.
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


def verdict(text: str, reply: str, header: str = HEADER) -> dict[str, float]:
  """The properties of an answer, each in [0, 1]; every string is judged.

    format    the answer is digits with one space between any two; without it,
              the others are 0
    multiset  the digits are those of the prompt, in any order
    prefix    the share of the right digits before the first wrong one
    success   the answer is right

  For 'sort: 7 3 9 3 =': '3 3 9 7' has 1, 1, 0.5 and 0; '3 3 7' has 1, 0, 0.75
  and 0; '3 3 7 9 9' has 1, 0, 1 and 0; '3 3 7 9' has 1 for all four.

  Raises:
    ValueError: `text` is not a prompt of this world.
  """
  wanted = sorted(digits(text, header))
  if not _ANSWER.fullmatch(reply):
    return dict.fromkeys(FACTS, 0.0)
  stated = reply.split(' ')
  same = [a == b for a, b in zip(wanted, stated, strict=False)]
  right = same.index(False) if False in same else len(same)
  return {
    'format': 1.0,
    'multiset': float(Counter(stated) == Counter(wanted)),
    'prefix': right / len(wanted),
    'success': float(stated == wanted),
  }


def judge(
  text: str, reply: str, *, success_weight: float = 1.0
) -> dict[str, float]:
  """The numbers of `verdict`, and 'reward' in [0, 1].

  reward = (1 − w)·(format + multiset + prefix)/3 + w·success, with
  w = `success_weight`: 1 rewards right answers alone.
  """
  facts = verdict(text, reply)
  partial = (facts['format'] + facts['multiset'] + facts['prefix']) / 3
  reward = partial + success_weight * (facts['success'] - partial)
  return {'reward': reward, **facts}


def corrupt(right: str, rng: np.random.Generator) -> str:
  """Makes a wrong answer in the right format of a right one.

  Two different neighbors are swapped, or one digit is changed, left out, or
  repeated.
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

  Prompts are drawn from the training split, with equal chances for all
  categories. A model that fits this distribution answers right with probability
  1 − wrong_share when it is sampled at temperature 1.
  """
  rng = np.random.default_rng(seed)
  return [
    (text, corrupt(answer(text), rng))
    if rng.random() < wrong_share
    else (text, answer(text))
    for text in draw_texts(prompts('train'), count, rng)
  ]


def draw_texts(
  listed: Sequence[tuple[str, str]], count: int, rng: np.random.Generator
) -> list[str]:
  """Draws the texts of `count` prompts with replacement, by category."""
  texts = [[t for t, c in listed if c == category] for category in CATEGORIES]
  lists = [texts[i] for i in rng.integers(len(texts), size=count)]
  return [one[rng.integers(len(one))] for one in lists]


def _lists(length: int) -> list[str]:
  """PER_LENGTH distinct lists of digits.

  They come from raw bits, whose stream is the same in every version of numpy.
  """
  bits = np.random.Philox(np.random.SeedSequence([length])).random_raw(
    4 * PER_LENGTH
  )
  unlike = dict.fromkeys(
    f'{n:0{length}d}' for n in (bits % 10**length).tolist()
  )
  return list(unlike)[:PER_LENGTH]


def _is_held_out(listed: str) -> bool:
  return zlib.crc32(''.join(sorted(listed)).encode()) % HELD_OUT_PERIOD == 0
