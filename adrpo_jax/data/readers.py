"""Prompt files, row by row: .txt, .jsonl, .csv and .tsv.

.txt          one prompt a line
.jsonl        an object a line, {"prompt": "...", "category": "..."}; GenEval's
              evaluation_metadata.jsonl, which has a "tag", is one
.csv, .tsv    a header and a row a prompt; DrawBench ("Prompts,Category") and
              PartiPrompts ("Prompt", "Category", "Challenge", "Note") are such

A row may have an "answer", which rewards of text compare answers with. The name
of a column or key, in any case, says what it means; columns and keys with other
names are not read. Lines without text are skipped. Files are UTF-8, on a disk
or in a bucket.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import csv
import io
import json
import pathlib
from typing import Any, NamedTuple

from adrpo_jax.data.json_fields import field_text, objects
from adrpo_jax.data.text_lines import filled_lines, read_lines
from adrpo_jax.errors import InputError


class PromptRow(NamedTuple):
  """A prompt, its category ('' for none), and its line, counted from 1.

  answer: the right answer, None where the source has none.
  columns: the names of all columns or keys that the row has
  """

  number: int
  text: str
  category: str
  answer: str | None = None
  columns: tuple[str, ...] = ()


class ColumnNames(NamedTuple):
  """The possible names of prompts, categories and answers, in order.

  Without names of answers, none are read.
  """

  text: tuple[str, ...]
  category: tuple[str, ...]
  answer: tuple[str, ...]


DEFAULT_NAMES = ColumnNames(
  ('prompt', 'prompts', 'caption', 'captions', 'text', 'question', 'problem'),
  ('category', 'categories', 'tag'),
  ('answer', 'solution', 'ground_truth'),
)


TEXT_SETTING = 'Name the one with the prompts: --config.prompts.text_column='


def column_names(
  text: str, category: str, answer: str | None = ''
) -> ColumnNames:
  """The names to look for: each argument alone, or the default names for ''.

  None as `answer` stands for no answers at all.
  """
  answers = (answer,) if answer else DEFAULT_NAMES.answer
  return ColumnNames(
    (text,) if text else DEFAULT_NAMES.text,
    (category,) if category else DEFAULT_NAMES.category,
    () if answer is None else answers,
  )


def first_of(wanted: Iterable[str], names: Iterable[str]) -> str | None:
  """The first wanted name among `names`, in their spelling; None without."""
  spelt = {name.strip().lower(): name for name in names}
  return next((spelt[w.lower()] for w in wanted if w.lower() in spelt), None)


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


def _json_rows(path: str, names: ColumnNames) -> Iterator[PromptRow]:
  expected = (
    f'expected {{"{names.text[0]}": "...", "{names.category[0]}": ...}}'
  )
  for number, row in objects(path, expected):
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
    answer = _field(row, names.answer, where)
    yield PromptRow(number, text, category, answer, tuple(row))


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
    yield PromptRow(number, row[text_column], category, answer, tuple(header))


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
}
