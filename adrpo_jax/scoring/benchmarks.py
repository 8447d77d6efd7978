"""Benchmarks of questions with options, and files of answers to them.

A file is the benchmark's own, a JSON array or an object a line, with the answer
of the model beside each question: what the scripts of MMAU and MMAR read.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from adrpo_jax.data.json_fields import array_objects, field_text
from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.rewards.text.choices import strict

_SHOWN = 5  # ids that a message lists


class Benchmark(NamedTuple):
  """A set of questions.

  title:     its name in a table
  questions: how many it has
  output:    keys of the answer of a model; the first that a question has
             counts
  groups:    keys by which scores are told apart
  """

  title: str
  questions: int
  output: tuple[str, ...]
  groups: tuple[str, ...]


BENCHMARKS = {
  'mmau': Benchmark(
    'MMAU test-mini',
    1000,
    ('model_output', 'model_prediction'),
    ('task', 'difficulty'),
  ),
  'mmar': Benchmark(
    'MMAR', 1000, ('answer_prediction',), ('modality', 'category')
  ),
}


class Answered(NamedTuple):
  """A question with options, and what a model answers.

  answer: None where the file has none
  groups: key of the benchmark -> the group of the question, '' without
  """

  id: str
  choices: tuple[str, ...]
  right: str
  answer: str | None
  groups: dict[str, str]


def read_answers(
  path: str, name: str, *, count: int = 0
) -> tuple[Answered, ...]:
  """Reads all questions and answers of a file, in its order.

  Args:
    path: of the file.
    name: of the benchmark, in BENCHMARKS.
    count: the number of questions, if they are a part of the benchmark; 0 for
      all of it.

  Raises:
    InputError: an unknown name, a damaged file, a question without options or
      whose right answer is none of them, a repeated id, another number of
      questions; names file and line.
  """
  if name not in BENCHMARKS:
    raise unknown_name(name, BENCHMARKS, 'benchmark')
  benchmark = BENCHMARKS[name]
  wanted = count or benchmark.questions
  items = tuple(_items(path, benchmark))
  if len(items) != wanted:
    raise InputError(
      f'{path}: expected the {wanted} questions of {benchmark.title}, got '
      f'{len(items)}. Give the whole file, or --items={len(items)} if it is a '
      'part on purpose.'
    )
  if all(item.answer is None for item in items):
    raise InputError(
      f'{path}: expected answers as {" or ".join(benchmark.output)}, got none '
      f'in {len(items)} questions. Write the answers of the model under that '
      'key.'
    )
  return items


def unanswered(items: Sequence[Answered]) -> str:
  """Returns a sentence about the questions without an answer, '' without any.

  The scripts of MMAU and MMAR leave such a question out of their score.
  """
  names = [item.id for item in items if item.answer is None]
  if not names:
    return ''
  more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
  return (
    f'{len(names)} of {len(items)} questions have no answer, and count as '
    f'wrong: {", ".join(names[:_SHOWN])}{more}.'
  )


def _items(path: str, benchmark: Benchmark) -> Iterator[Answered]:
  seen: dict[str, int] = {}
  expected = (
    'expected {"id": "...", "choices": ["...", ...], "answer": "...", '
    f'"{benchmark.output[0]}": "..."}}'
  )
  for line, row in array_objects(path, expected):
    try:
      item = _item(row, benchmark)
    except ValueError as error:
      raise InputError(f'{path}, line {line}: {expected}, {error}.') from error
    if item.id in seen:
      raise InputError(
        f'{path}, line {line}: expected every id once, got {item.id!r} of line '
        f'{seen[item.id]} again. Remove one of them.'
      )
    seen[item.id] = line
    yield item


def _item(row: Mapping[str, Any], benchmark: Benchmark) -> Answered:
  """Raises ValueError with what came in place of a question."""
  missing = [key for key in ('id', 'choices', 'answer') if key not in row]
  if missing:
    raise ValueError(f'got no {" and no ".join(missing)}')
  name, right = field_text(row['id']), field_text(row['answer'])
  choices = row['choices']
  if not isinstance(choices, list) or len(choices) < 2:
    raise ValueError(f'got {str(choices)[:60]!r} as choices, not two or more')
  options = [field_text(choice) for choice in choices]
  if not name or right is None or None in options:
    raise ValueError(f'got an id, answer or option without text, of {name!r}')
  texts = tuple(option or '' for option in options)
  if not any(strict(right, text) for text in texts):
    raise ValueError(
      f'got the answer {right[:60]!r}, which is none of {list(texts)}'
    )
  key = next((key for key in benchmark.output if key in row), None)
  answer = field_text(row[key]) if key else None
  groups = {key: field_text(row.get(key)) or '' for key in benchmark.groups}
  return Answered(name, texts, right, answer, groups)
