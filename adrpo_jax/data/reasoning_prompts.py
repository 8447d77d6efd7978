"""Prompts of reasoning-gym, whose tasks make questions and score answers.

reasoning_gym:TASK[,TASK...][:COUNT[:SEED]]

COUNT prompts in all, the tasks in turn, each in its usual difficulty; 500 if
not given. SEED is 0 if not given. A category is the name of a task, and an
answer says, as JSON, how the library makes the entry again, from which the
reward `rewards.text_reasoning` scores. Tell a model to answer between <answer>
and </answer>, by --config.model.system or by a template of its own.

Stojanovski et al., `Reasoning Gym <https://arxiv.org/abs/2505.24760>`_, 2025.
"""

from collections.abc import Callable, Iterator, Sequence
import functools
import hashlib
import json
import pathlib
import re
from typing import Any, NamedTuple

from adrpo_jax.data.readers import Row
from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.system.child_process import make_child_function

SCHEME = 'reasoning_gym:'
KEY = 'reasoning_gym'  # of the answers
CHILD = pathlib.Path(__file__).with_name('reasoning_child.py')
SECONDS = 30.0  # of computing, for one question


class Entry(NamedTuple):
  """A place in a data set of the library, which makes it again."""

  task: str
  seed: int
  size: int
  place: int

  def written(self) -> str:
    """As the answer of a prompt."""
    return json.dumps({KEY: self._asdict()})


def read(answer: str) -> Entry | None:
  """The entry that an answer of a prompt is; None for any other text."""
  try:
    entry = Entry(**json.loads(answer)[KEY])
  except (ValueError, TypeError, KeyError, RecursionError):
    return None
  whole = all(type(number) is int for number in entry[1:])
  return entry if whole and isinstance(entry.task, str) else None


def rows(source: str) -> Iterator[Row]:
  """The entries of a source as (number from 0, question, task, answer).

  The same on every machine, for one version of the library. Two seeds draw
  from the library independently; what they have in common is left to `apart`.

  Raises:
    InputError: a source that cannot be read, an unknown task, no library.
  """
  tasks, count, seed = _parts(source)
  ask = library(SECONDS)
  known = ask('tasks')
  for task in tasks:
    if task not in known:
      raise unknown_name(task, known, 'task of reasoning-gym')
  size = -(-count // len(tasks))
  for number in range(count):
    place, turn = divmod(number, len(tasks))
    task = tasks[turn]
    entry = Entry(task, _seed(task, seed), size, place)
    question = ask('question', *entry)
    if question is None:
      raise InputError(
        f'{source}, example {number}: expected a question of the task '
        f'{task!r}, got none in {SECONDS:.0f} seconds of computing, or an '
        'error. Take fewer prompts, another seed, or leave the task out.'
      )
    yield Row(number, question, task, entry.written())


def apart(training: Sequence[str], held_out: Sequence[str]) -> list[int]:
  """The ids of training prompts that are not held out.

  Tasks with few questions make the same ones from any seed.

  Raises:
    InputError: none is left.
  """
  kept = set(held_out)
  ids = [i for i, text in enumerate(training) if text not in kept]
  if not ids:
    raise InputError(
      'Expected prompts to train on that are not held out, got '
      f'{len(training)} that all are. Give --config.prompts.source and '
      '--config.prompts.eval_prompts different seeds, '
      f'{SCHEME}TASK:COUNT:SEED, or take a task with more questions.'
    )
  return ids


@functools.cache
def library(seconds: float) -> Callable[..., Any]:
  """What `reasoning_child` replies; loaded once, which takes seconds.

  Args:
    seconds: of computing that a reply may take.

  Raises:
    InputError: the library is not installed or does not work.
  """
  return make_child_function(CHILD, seconds, _refusal)


def _refusal(says: str) -> InputError:
  return InputError(
    f'Expected reasoning-gym; here it does not work: {says}. Install the '
    "extra: pip install 'adrpo_jax[reasoning]'."
  )


def _parts(source: str) -> tuple[list[str], int, int]:
  """(tasks, count, seed) of a source."""
  match = re.fullmatch(
    rf'{SCHEME}([^:]+)(?::([0-9]{{1,9}})(?::([0-9]{{1,9}}))?)?', source
  )
  tasks = [name.strip() for name in match[1].split(',')] if match else []
  count = int(match[2] or 500) if match else 0
  if not match or not all(tasks) or count < len(tasks):
    raise InputError(
      f"Expected '{SCHEME}TASK[,TASK...][:COUNT[:SEED]]' with at least one "
      f'prompt of each task, got {source!r}.'
    )
  return list(dict.fromkeys(tasks)), count, int(match[3] or 0)


def _seed(task: str, seed: int) -> int:
  """Of the library, which draws entry i from seed + i: far from all others."""
  digest = hashlib.sha256(f'{task} {seed}'.encode()).digest()
  return int.from_bytes(digest[:4], 'big') >> 1
