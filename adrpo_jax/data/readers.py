"""Prompt files, row by row: .txt, .jsonl, .json, .csv and .tsv.

.txt          one prompt a line
.jsonl        an object a line, {"prompt": "...", "category": "..."}; GenEval's
              evaluation_metadata.jsonl, which has a "tag", is one
.json         an array of such objects, or one a line
.csv, .tsv    a header and a row a prompt; DrawBench ("Prompts,Category") and
              PartiPrompts ("Prompt", "Category", "Challenge", "Note") are such

A row may have an "answer", which rewards of text compare answers with, an
"audio", a file of sound, and in JSON "choices", the options of a question, or
"constraints" in place of an answer. The name of a column or key, in any case,
says what it means; columns and keys with other names are not read. Lines
without text are skipped. Files are UTF-8, on a disk or in a bucket.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import csv
from functools import partial
import io
import json
import pathlib
from typing import Any, NamedTuple

from etils import epath

from adrpo_jax.data.choices import options_and_answer
from adrpo_jax.data.columns import TEXT_SETTING, ColumnNames, first_of
from adrpo_jax.data.json_fields import array_objects, field_text, objects
from adrpo_jax.data.text_lines import filled_lines, read_lines
from adrpo_jax.errors import InputError
from adrpo_jax.worlds.instructions.constraints import (
  KEY,
  constraints,
  reference,
)

# (path, what is expected) -> (line, fields) of the objects of a file.
Objects = Callable[[str, str], Iterator[tuple[int, dict[str, Any]]]]


class PromptRow(NamedTuple):
  """A prompt, its category ('' for none), and its line, counted from 1.

  answer: the right answer, None where the source has none.
  columns: the names of all columns or keys that the row has
  audio: the name of a sound, see `sound_files`, None where there is none.
  choices: the options of a question, None where it has none.
  """

  number: int
  text: str
  category: str
  answer: str | None = None
  columns: tuple[str, ...] = ()
  audio: str | None = None
  choices: tuple[str, ...] | None = None


def reader(source: str) -> Callable[[str, ColumnNames], Iterator[PromptRow]]:
  """The reader for a file of this name: (path, names) -> its rows."""
  suffix = pathlib.PurePosixPath(source).suffix.lower()
  if suffix not in READERS:
    raise InputError(
      f'Expected a prompt source that ends in {", ".join(READERS)}, or '
      f"'tfds:NAME[:SPLIT]' or 'reasoning_gym:TASK', got {source!r}."
    )
  return READERS[suffix]


def _text_rows(path: str, names: ColumnNames) -> Iterator[PromptRow]:
  del names  # A line has no columns.
  for number, line in filled_lines(path):
    yield PromptRow(number, line, '')


def _json_rows(
  path: str, names: ColumnNames, read: Objects = objects
) -> Iterator[PromptRow]:
  expected = (
    f'expected {{"{names.text[0]}": "...", "{names.category[0]}": ...}}'
  )
  for number, row in read(path, expected):
    where = f'{path}, line {number}: {expected}'
    text_key = first_of(names.text, row)
    if text_key is None:
      raise InputError(
        f'{where}, got the keys {sorted(row)}. {TEXT_SETTING}KEY'
      )
    text = row[text_key]
    if type(text) is not str:
      raise InputError(
        f'{where}, got {json.dumps(text)} as {text_key!r}, which is not text.'
      )
    category = _field(row, names.category, where) or ''
    audio = _field(row, names.audio, where)
    choices, answer = _question(row, names, where)
    yield PromptRow(
      number, text, category, answer, tuple(row), beside(path, audio), choices
    )


def _question(
  row: Mapping[str, Any], names: ColumnNames, where: str
) -> tuple[tuple[str, ...] | None, str | None]:
  """(options, right answer) of a question; without options any answer."""
  answer = _reference(row, names, where)
  key = first_of(names.choices, row)
  if key is None or row[key] is None:
    return None, answer
  try:
    return options_and_answer(row[key], answer)
  except ValueError as error:
    raise InputError(f'{where.partition(": ")[0]}: {error}') from error


def _reference(
  row: Mapping[str, Any], names: ColumnNames, where: str
) -> str | None:
  """The text of the answer, or of the constraints; None without."""
  key = first_of(names.answer, row)
  if key is None or key.strip().lower() != KEY or row[key] is None:
    return _field(row, names.answer, where)
  try:
    return reference(constraints(row[key]))
  except ValueError as error:
    raise InputError(f'{where.partition(": ")[0]}: {error}') from error


def beside(path: str, name: str | None) -> str | None:
  """The path of a file that a prompt file names, relative to its folder."""
  if not name or not name.strip():
    return None
  if '://' in name:
    return name.strip()
  return str(epath.Path(path).parent / name.strip())


def _field(
  row: Mapping[str, Any], wanted: Iterable[str], where: str
) -> str | None:
  """The text of the first wanted field; None without."""
  key = first_of(wanted, row)
  try:
    return field_text(row[key]) if key else None
  except ValueError as error:
    raise InputError(
      f'{where}, {error} as {key!r}. Expected one text.'
    ) from error


def _table_rows(path: str, names: ColumnNames) -> Iterator[PromptRow]:
  lines = read_lines(path)
  first = next(filter(str.strip, lines), '')
  delimiter = next((d for d in '\t,;' if d in first), ',')
  quoted = delimiter != '\t'
  rows = _cells(path, lines, delimiter) if quoted else _tab_cells(lines)
  table = ((n, cells) for n, cells in rows if any(map(str.strip, cells)))
  line, header = next(table, (0, []))
  if not line:
    return
  text_column = first_of(names.text, header)
  if text_column is None:
    raise InputError(
      f'{path}, line {line}: expected a header with a column '
      f'{" or ".join(names.text)}, got the columns {header}. '
      f'{TEXT_SETTING}COLUMN'
    )
  category_column = first_of(names.category, header)
  answer_column = first_of(names.answer, header)
  audio_column = first_of(names.audio, header)
  for number, cells in table:
    if len(cells) != len(header):
      raise InputError(
        f'{path}, line {number}: expected {len(header)} cells, for '
        f'{", ".join(header)}, got {len(cells)}: {cells}. Put a prompt that '
        f'contains {delimiter!r} in double quotes.'
      )
    row = dict(zip(header, cells, strict=True))
    category = row[category_column] if category_column else ''
    answer = row[answer_column] if answer_column else None
    audio = beside(path, row[audio_column]) if audio_column else None
    yield PromptRow(
      number, row[text_column], category, answer, tuple(header), audio
    )


def _cells(
  path: str, lines: list[str], delimiter: str
) -> Iterator[tuple[int, list[str]]]:
  """(line, cells) of each row, whose quoted cells may span lines."""
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
  """(line, cells) of each row where tabs divide cells and a line is a row.

  Some writers quote such cells, others write quotes as they are, so that a
  prompt may begin with a word in quotes: such a line is read without quoting.
  """
  for number, line in enumerate(lines, 1):
    try:
      yield number, next(csv.reader([line], delimiter='\t', strict=True))
    except csv.Error:
      yield number, line.split('\t')


READERS: dict[str, Callable[[str, ColumnNames], Iterator[PromptRow]]] = {
  '.txt': _text_rows,
  '.jsonl': _json_rows,
  '.csv': _table_rows,
  '.tsv': _table_rows,
  '.json': partial(_json_rows, read=array_objects),
}
