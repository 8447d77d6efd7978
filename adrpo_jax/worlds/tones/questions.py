"""Questions of the tones world: each answer counts or compares the kinds.

A category has four questions. One may have several forms, which differ in the
kind that they name.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
import itertools
from typing import NamedTuple

from adrpo_jax.worlds.tones.events import EVENTS

Kinds = Sequence[str]
SOUNDS, NOTES, VOWELS = (tuple(EVENTS[c]) for c in ('sound', 'music', 'speech'))
SHAPES = ('rising', 'falling', 'level', 'mixed')


class Question(NamedTuple):
  """A question about the kinds of a clip.

  text:    as the prompt states it
  answer:  (kinds) -> the right answer, None where there is none
  options: all answers that may be offered
  """

  text: str
  answer: Callable[[Kinds], str | None]
  options: tuple[str, ...]


def count_of(kind: str, kinds: Kinds) -> str:
  """The number of events of one kind."""
  return str(list(kinds).count(kind))


def most_frequent(kinds: Kinds) -> str | None:
  """The kind that is heard more often than any other, if there is one."""
  (first, most), *others = Counter(kinds).most_common(2)
  return None if others and others[0][1] == most else first


def number(kinds: Kinds) -> str:
  """The number of events."""
  return str(len(kinds))


def shape(kinds: Kinds) -> str:
  """The shape of a melody: rising and falling are strict."""
  heights = [NOTES.index(kind) for kind in kinds]
  steps = [b - a for a, b in itertools.pairwise(heights)]
  if all(step > 0 for step in steps):
    return 'rising'
  if all(step < 0 for step in steps):
    return 'falling'
  return 'mixed' if any(steps) else 'level'


def highest(kinds: Kinds) -> str:
  """The highest note."""
  return max(kinds, key=NOTES.index)


def all_same(kinds: Kinds) -> str:
  """Says 'yes' or 'no'."""
  return 'yes' if len(set(kinds)) == 1 else 'no'


def place(index: int, kinds: Kinds) -> str | None:
  """The kind at a place, if there are so many."""
  return kinds[index] if index < len(kinds) else None


first, second, last = (partial(place, index) for index in (0, 1, -1))

# Category -> its questions, each as its forms.
QUESTIONS: dict[str, tuple[tuple[Question, ...], ...]] = {
  'sound': (
    tuple(
      Question(f'How often is {kind} heard?', partial(count_of, kind), counts)
      for counts in [tuple('01234')]
      for kind in SOUNDS
    ),
    (Question('Which sound is first?', first, SOUNDS),),
    (Question('Which sound is last?', last, SOUNDS),),
    (Question('Which sound is most frequent?', most_frequent, SOUNDS),),
  ),
  'music': (
    (Question('How many notes are there?', number, tuple('12345')),),
    (Question('How does the melody move?', shape, SHAPES),),
    (Question('Which note is first?', first, NOTES),),
    (Question('Which note is highest?', highest, NOTES),),
  ),
  'speech': (
    (Question('Which vowel is first?', first, VOWELS),),
    (Question('Which vowel is second?', second, VOWELS),),
    (Question('Which vowel is last?', last, VOWELS),),
    (Question('Are all vowels the same?', all_same, ('yes', 'no')),),
  ),
}
BY_TEXT = {
  question.text: (category, question)
  for category, listed in QUESTIONS.items()
  for forms in listed
  for question in forms
}


def written(question: Question, options: Sequence[str]) -> str:
  """Returns the prompt: 'Which sound is first? beep, buzz, hiss, thud'."""
  return f'{question.text} {", ".join(options)}'


def read(text: str) -> tuple[str, Question, tuple[str, ...]]:
  """Returns (category, question, options) of a prompt.

  Raises:
    ValueError: the text is not a prompt of this world.
  """
  asked, mark, listed = text.partition('? ')
  category, question = BY_TEXT.get(asked + mark.rstrip(), (None, None))
  options = tuple(listed.split(', '))
  if (
    category is None
    or question is None
    or len(options) < 2
    or len(set(options)) < len(options)
    or not set(options) <= set(question.options)
  ):
    raise ValueError(
      'Expected a question of the tones world with its options, such as '
      f"'Which sound is first? beep, buzz, hiss, thud', got {text!r}."
    )
  return category, question, options
