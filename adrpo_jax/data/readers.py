"""Prompt files, row by row: .txt, .jsonl, .csv and .tsv.

.txt          one prompt a line
.jsonl        an object a line, {"prompt": "...", "category": "..."}; GenEval's
              evaluation_metadata.jsonl, which has a "tag", is one
.csv, .tsv    a header and a row a prompt; DrawBench ("Prompts,Category") and
              PartiPrompts ("Prompt", "Category", "Challenge", "Note") are such

A row may have an "answer", which rewards of text hold answers against. What a
column or key means is told by its name, in any case; columns and keys with
other names are not read. Files are UTF-8, on a disk or in a bucket.
"""

from collections.abc import Callable, Iterable, Iterator
import csv
import io
import json
import pathlib
from typing import NamedTuple

from etils import epath

from adrpo_jax.errors import InputError


class Row(NamedTuple):
  """A prompt, its category ('' for none), and its line, counted from 1.

  answer: the right one, None where the source has none.
  """

  number: int
  text: str
  category: str
  answer: str | None = None


class Names(NamedTuple):
  """What prompts, categories and answers may be called, likeliest first."""

  text: tuple[str, ...]
  category: tuple[str, ...]
  answer: tuple[str, ...]


USUAL_NAMES = Names(
  ('prompt', 'prompts', 'caption', 'captions', 'text', 'question', 'problem'),
  ('category', 'categories', 'tag'),
  ('answer', 'solution', 'ground_truth'),
)


def names(text: str, category: str, answer: str = '') -> Names:
  """The given names, each the only one to be read, or the usual for ''."""
  return Names(
    (text,) if text else USUAL_NAMES.text,
    (category,) if category else USUAL_NAMES.category,
    (answer,) if answer else USUAL_NAMES.answer,
  )


def first_of(wanted: Iterable[str], given: Iterable[str]) -> str | None:
  """The first wanted name that is among the given, as it is spelt there."""
  spelt = {name.strip().lower(): name for name in given}
  return next((spelt[w.lower()] for w in wanted if w.lower() in spelt), None)


def reader(source: str) -> Callable[[str, Names], Iterator[Row]]:
  """The reader for a file of this name: (path, names) -> rows."""
  suffix = pathlib.PurePosixPath(source).suffix.lower()
  if suffix not in READERS:
    raise InputError(
      f'Expected a prompt source that ends in {", ".join(READERS)}, or '
      f"'tfds:NAME[:SPLIT]' or 'reasoning_gym:TASK', got {source!r}."
    )
  return READERS[suffix]


def _lines(path: str) -> list[str]:
  """The lines of a UTF-8 file, without blank ones at its end."""
  raw = _bytes(path)
  try:
    text = raw.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    line = raw.count(b'\n', 0, error.start) + 1
    raise InputError(
      f'{path}, line {line}: expected UTF-8, got the byte '
      f'0x{raw[error.start]:02x}. Save the file as UTF-8.'
    ) from error
  if '\0' in text:
    line = text.count('\n', 0, text.index('\0')) + 1
    raise InputError(
      f'{path}, line {line}: expected text, got a zero byte. Save the file as '
      'UTF-8; it looks like UTF-16 or like no text at all.'
    )
  lines = text.split('\n')
  while lines and not lines[-1].strip():
    lines.pop()
  return lines


def _bytes(path: str) -> bytes:
  try:
    return epath.Path(path).read_bytes()
  except Exception as error:  # The clients of buckets raise kinds of their own.
    raise InputError(
      f'{path}: expected a readable file of prompts, got: '
      f'{getattr(error, "strerror", None) or error}.'
    ) from error


def _text_rows(path: str, names: Names) -> Iterator[Row]:
  del names  # A line has none.
  for number, line in enumerate(_lines(path), 1):
    yield Row(number, line, '')


def _json_rows(path: str, names: Names) -> Iterator[Row]:
  expected = (
    f'expected {{"{names.text[0]}": "...", "{names.category[0]}": ...}}'
  )
  for number, line in enumerate(_lines(path), 1):
    where = f'{path}, line {number}: {expected}'
    try:
      row = json.loads(line)
    except json.JSONDecodeError as error:
      raise InputError(
        f'{where}, got malformed JSON ({error.msg} at column {error.colno}).'
      ) from error
    if not isinstance(row, dict):
      raise InputError(f'{where}, got {line.strip()[:60]!r}.')
    text_key = first_of(names.text, row)
    if text_key is None:
      raise InputError(f'{where}, got the keys {sorted(row)}.')
    category_key = first_of(names.category, row)
    for key in filter(None, (text_key, category_key)):
      if not isinstance(row[key], str):
        raise InputError(
          f'{where}, got {row[key]!r} as {key!r}, which is no text.'
        )
    answer_key = first_of(names.answer, row)
    answer = row[answer_key] if answer_key else None
    yield Row(
      number,
      row[text_key],
      row[category_key] if category_key else '',
      None if answer is None else str(answer),
    )


def _table_rows(path: str, names: Names) -> Iterator[Row]:
  lines = _lines(path)
  if not lines:
    return
  delimiter = next((d for d in '\t,;' if d in lines[0]), ',')
  quoted = delimiter != '\t'
  table = _cells(path, lines, delimiter) if quoted else _tab_cells(lines)
  _, header = next(table)
  text_column = first_of(names.text, header)
  if text_column is None:
    raise InputError(
      f'{path}, line 1: expected a header with a column '
      f'{" or ".join(names.text)}, got the columns {header}.'
    )
  category_column = first_of(names.category, header)
  answer_column = first_of(names.answer, header)
  for number, cells in table:
    if len(cells) != len(header):
      raise InputError(
        f'{path}, line {number}: expected {len(header)} cells, for '
        f'{", ".join(header)}, got {len(cells)}: {cells}. A prompt that '
        f'holds {delimiter!r} must stand in double quotes.'
      )
    row = dict(zip(header, cells, strict=True))
    category = row[category_column] if category_column else ''
    answer = row[answer_column] if answer_column else None
    yield Row(number, row[text_column], category, answer)


def _cells(
  path: str, lines: list[str], delimiter: str
) -> Iterator[tuple[int, list[str]]]:
  """(line, cells) of a table whose quoted cells may go on over lines."""
  stream = io.StringIO('\n'.join(lines), newline='')
  rows = csv.reader(stream, delimiter=delimiter, strict=True)
  start = 1
  try:
    for cells in rows:
      yield start, cells
      start = rows.line_num + 1
  except csv.Error as error:
    raise InputError(
      f'{path}, line {start}: expected cells with {delimiter!r} between them, '
      f'in double quotes as a whole or not at all, got: {error}.'
    ) from error


def _tab_cells(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
  """The same where tabs divide the cells, and a line is always a row.

  Some writers quote such cells, others leave quotes as they are, so that a
  prompt may begin with a word in quotes: then the line stands as written.
  """
  for number, line in enumerate(lines, 1):
    try:
      yield number, next(csv.reader([line], delimiter='\t', strict=True))
    except csv.Error:
      yield number, line.split('\t')


READERS: dict[str, Callable[[str, Names], Iterator[Row]]] = {
  '.txt': _text_rows,
  '.jsonl': _json_rows,
  '.csv': _table_rows,
  '.tsv': _table_rows,
}
