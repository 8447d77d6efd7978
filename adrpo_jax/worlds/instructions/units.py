"""What constraints count in an answer: words, sentences, paragraphs, items."""

import re
import unicodedata

_APOSTROPHES = str.maketrans('’‘', "''")
_ABBREVIATIONS = frozenset(
  ['mr', 'mrs', 'ms', 'dr', 'prof', 'st', 'vs', 'e.g', 'i.e']
)
_MARKER = re.compile(r'[ \t]*(?:[-*•]|\d+[.)])[ \t]+')
_END = re.compile(r'[.!?…。！？]+["”\')\]*]*(?=\s|$)|(?<=[。！？])')
_BULLET = re.compile(r'[ \t]*[-*•][ \t]+\S')
_NUMBERED = re.compile(r'[ \t]*(\d+)[.)][ \t]+\S')


def plain(text: str) -> str:
  """Returns a text in one spelling, without white space around it.

  Composed characters (NFC), straight apostrophes, and a line feed as the end of
  a line.
  """
  text = unicodedata.normalize('NFC', text).translate(_APOSTROPHES)
  return re.sub('\r\n|\r', '\n', text).strip()


def has_word(text: str) -> bool:
  """Returns True for a text with a letter or a digit."""
  return any(map(str.isalnum, text))


def words(text: str) -> list[str]:
  """Returns what stands between white space and has a letter or a digit.

  'well-known', "don't" and '3.5' are one word each, '-' is none.
  """
  return list(filter(has_word, text.split()))


def sentences(text: str) -> list[str]:
  """Returns the sentences of a text; the last one may lack its end.

  A sentence ends at the end of a line, and at . ! ? … with white space behind
  it. A dot behind an abbreviation (Dr., e.g.), behind a single capital letter
  other than I, or behind the number of an item ends none; neither does the dot
  of 3.5, as no space follows.
  """
  lines = (_MARKER.sub('', line, count=1) for line in text.split('\n'))
  return [s for line in lines for s in _of_line(line) if has_word(s)]


def _of_line(line: str) -> list[str]:
  found, start = [], 0
  for end in _END.finditer(line):
    if end[0] != '.' or not _is_short_form(line[start : end.start()]):
      found.append(line[start : end.end()])
      start = end.end()
  return [*found, line[start:]]


def _is_short_form(before: str) -> bool:
  """Returns True where the dot behind this text belongs to its last word."""
  last = before.split()[-1].lstrip('("“\'[') if before.split() else ''
  initial = len(last) == 1 and last.isupper() and last != 'I'
  return initial or last.lower() in _ABBREVIATIONS


def paragraphs(text: str) -> list[str]:
  """Returns the paragraphs, which blank lines divide."""
  return list(filter(has_word, re.split(r'\n[ \t]*(?:\n[ \t]*)+', text)))


def bullets(text: str) -> list[str]:
  """Returns the lines that begin with -, * or • and a space."""
  return list(filter(_BULLET.match, text.split('\n')))


def numbered(text: str) -> list[str]:
  """Returns the lines of a list that is numbered 1, 2, …, in this order.

  A line with another number is no item.
  """
  items: list[str] = []
  for line in text.split('\n'):
    found = _NUMBERED.match(line)
    if found and found[1] == str(len(items) + 1):
      items.append(line)
  return items


def holds(text: str, phrase: str) -> bool:
  """Returns True where a text has the words of a phrase, whole, in any case."""
  phrase = plain(phrase).casefold()
  inner = r'\s+'.join(map(re.escape, phrase.split()))
  before = r'(?<!\w)' if re.match(r'\w', phrase) else ''
  behind = r'(?!\w)' if re.search(r'\w\Z', phrase) else ''
  return re.search(f'{before}{inner}{behind}', text.casefold()) is not None
