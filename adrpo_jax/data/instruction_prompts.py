"""Prompts of the grammar of instructions, without any file.

instructions:SPLIT[:COUNT[:SEED]]

SPLIT is train or held_out, see `worlds.instructions.grammar`; COUNT is 2000 and
SEED 0 by default. The reward `instructions` judges answers.
"""

from collections.abc import Iterator
import json
import pathlib
import re

from adrpo_jax.data.readers import PromptRow
from adrpo_jax.errors import InputError, did_you_mean
from adrpo_jax.worlds.instructions.constraints import reference
from adrpo_jax.worlds.instructions.grammar import (
  SPLITS,
  Instruction,
  instructions,
)

SCHEME = 'instructions:'
MOST = 20_000  # prompts; all are made before a run begins


def rows(source: str) -> Iterator[PromptRow]:
  """Yields the prompts of a source as (number from 0, text, category, answer).

  Raises:
    InputError: the source cannot be read.
  """
  for number, made in enumerate(_instructions(source)):
    yield PromptRow(
      number, made.text, made.category, reference(made.constraints)
    )


def write(source: str, path: pathlib.Path) -> None:
  """Writes the prompts of a source as .jsonl, which any run can read.

  Raises:
    InputError: the source cannot be read.
  """
  lines = (
    {'prompt': made.text, 'category': made.category}
    | json.loads(reference(made.constraints))
    for made in _instructions(source)
  )
  path.write_text(
    ''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines),
    encoding='utf-8',
  )


def _instructions(source: str) -> list[Instruction]:
  match = re.fullmatch(
    rf'{SCHEME}([^:]+)(?::([0-9]{{1,9}})(?::([0-9]{{1,9}}))?)?', source
  )
  split, count = (match[1], int(match[2] or 2000)) if match else ('', 0)
  if not match or split not in SPLITS or not 1 <= count <= MOST:
    raise InputError(
      f"Expected '{SCHEME}SPLIT[:COUNT[:SEED]]' with a split "
      f'{" or ".join(SPLITS)} and a count from 1 to {MOST}, got {source!r}.'
      f'{did_you_mean(split, SPLITS)}'
    )
  return instructions(split, count, int(match[3] or 0))
