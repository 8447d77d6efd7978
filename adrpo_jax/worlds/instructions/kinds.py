"""The kinds of constraints: one pure function (answer, fields) -> bool each.

An answer is read in one spelling, see `units.plain`. One without a letter or a
digit meets no constraint, whatever the kind.
"""

from collections.abc import Callable, Mapping
import json
import re
from typing import NamedTuple

from adrpo_jax.worlds.instructions import units

BOUNDS = ('at_least', 'at_most', 'exactly')


class Kind(NamedTuple):
  """A kind of constraints.

  check:   (answer in `units.plain`, **fields) -> True where it is met
  fields:  name -> count, text or texts, the type of each field
  meaning: for messages and the documentation
  """

  check: Callable[..., bool]
  fields: Mapping[str, str]
  meaning: str


def within(
  count: int,
  *,
  at_least: int = 0,
  at_most: int | None = None,
  exactly: int | None = None,
) -> bool:
  """Returns True for a count within bounds; None bounds nothing."""
  return (
    count >= at_least
    and (at_most is None or count <= at_most)
    and exactly in (None, count)
  )


def starts_with(answer: str, text: str) -> bool:
  """Returns True where the first words are a text, in any case.

  Quotes, brackets and asterisks before them are let pass. A word that only
  begins like the last one of the text is another.
  """
  return _opens(answer.casefold(), units.plain(text).casefold(), '"“\'([*')


def ends_with(answer: str, text: str) -> bool:
  """Returns True where the last words are a text, in any case.

  The marks that end a sentence, quotes, brackets and asterisks behind them are
  let pass.
  """
  last, wanted = answer.casefold(), units.plain(text).casefold()
  return _opens(last[::-1], wanted[::-1], '.!?…"”\')]*')


def _opens(answer: str, text: str, marks: str) -> bool:
  return any(
    read.startswith(text)
    and not (text[-1].isalnum() and read[len(text) :][:1].isalnum())
    for read in (answer, answer.lstrip(marks))
  )


def lowercase(answer: str) -> bool:
  """Returns True for letters of which none is a capital."""
  return any(map(str.isalpha, answer)) and not any(
    c.isupper() or c.istitle() for c in answer
  )


def uppercase(answer: str) -> bool:
  """Returns True for letters of which none is a small one."""
  return any(map(str.isalpha, answer)) and not any(map(str.islower, answer))


def no_comma(answer: str) -> bool:
  """Returns True without a comma of any script."""
  return not set(answer) & set(',،、，')


def no_digit(answer: str) -> bool:
  """Returns True without a digit of any script."""
  return not any(map(str.isdigit, answer))


def title(answer: str) -> bool:
  """Returns True where the first line is a title in square brackets."""
  first = answer.partition('\n')[0].strip()
  inside = re.fullmatch(r'\[([^\[\]]+)\]', first)
  return inside is not None and units.has_word(inside[1])


def quoted(answer: str) -> bool:
  """Returns True where double quotes stand around the whole answer."""
  return len(answer) > 2 and answer[0] in '"“„' and answer[-1] in '"”“'


def json_object(answer: str, keys: list[str]) -> bool:
  """Returns True for a JSON object with these keys, each once, and no other.

  One fence of three backquotes may stand around it.
  """
  fenced = re.fullmatch(r'```(?:json)?\n(.*)\n```', answer, re.DOTALL)
  try:
    pairs = json.loads(
      fenced[1] if fenced else answer,
      object_pairs_hook=_Pairs,
      parse_constant=_no_number,
    )
  except (ValueError, RecursionError):
    return False
  return isinstance(pairs, _Pairs) and sorted(k for k, _ in pairs) == sorted(
    keys
  )


class _Pairs(list):
  """The (key, value) pairs of an object; a repeated key stands twice."""


def _no_number(name: str) -> float:
  raise ValueError(f'{name} is no JSON.')


def _counted(unit: Callable[[str], list[str]], meaning: str) -> Kind:
  def check(answer: str, **bounds: int) -> bool:
    return within(len(unit(answer)), **bounds)

  return Kind(check, dict.fromkeys(BOUNDS, 'count'), meaning)


_TEXT = {'text': 'text'}
_WORD = {'word': 'text'}

KINDS: dict[str, Kind] = {
  'words': _counted(units.words, 'so many words'),
  'sentences': _counted(units.sentences, 'so many sentences'),
  'paragraphs': _counted(units.paragraphs, 'so many paragraphs'),
  'bullets': _counted(units.bullets, 'so many lines that begin with - or *'),
  'numbered': _counted(units.numbered, 'so many lines numbered 1. 2. …'),
  'starts_with': Kind(starts_with, _TEXT, 'the first words, in any case'),
  'ends_with': Kind(
    ends_with, _TEXT, 'the last words, in any case; a mark may follow'
  ),
  'contains': Kind(
    lambda answer, word: units.holds(answer, word),
    _WORD,
    'a whole word or phrase, in any case',
  ),
  'avoids': Kind(
    lambda answer, word: not units.holds(answer, word),
    _WORD,
    'nowhere that word or phrase, in any case',
  ),
  'lowercase': Kind(lowercase, {}, 'no capital letter'),
  'uppercase': Kind(uppercase, {}, 'no small letter'),
  'no_comma': Kind(no_comma, {}, 'no comma'),
  'no_digit': Kind(no_digit, {}, 'no digit'),
  'title': Kind(title, {}, 'the first line is a title in square brackets'),
  'quoted': Kind(quoted, {}, 'double quotes around the whole answer'),
  'json_object': Kind(
    json_object, {'keys': 'texts'}, 'one JSON object with these keys alone'
  ),
}
