"""Prompts of reasoning-gym, whose tasks make questions and score answers.

reasoning_gym:TASK[,TASK...][:COUNT[:SEED]]

COUNT prompts in all, the tasks in turn, each in its default difficulty; COUNT
is 500 and SEED 0 by default. A category is the name of a task. An answer
states, as JSON, from what the library makes the entry again; the reward
`rewards.text.reasoning` scores with that entry. Tell a model to answer between
<answer> and </answer>, by --config.model.system or by its own template.

Stojanovski et al., `Reasoning Gym <https://arxiv.org/abs/2505.24760>`_, 2025.
"""

from collections.abc import Callable, Iterator, Sequence
import functools
import hashlib
import json
import pathlib
import re
from typing import Any, NamedTuple

from adrpo_jax.data.readers import PromptRow
from adrpo_jax.errors import InputError, unknown_name
from adrpo_jax.system.child_process import make_child_function

SCHEME = 'reasoning_gym:'
KEY = 'reasoning_gym'  # of the answers
CHILD = pathlib.Path(__file__).with_name('reasoning_child.py')
SECONDS = 30.0  # the limit on the computing time of a question


class Entry(NamedTuple):
  """The arguments from which the library makes an entry again."""

  task: str
  seed: int
  size: int
  place: int

  def as_answer(self) -> str:
    """The JSON text that stands as the answer of a prompt."""
    return json.dumps({KEY: self._asdict()})


def entry_of(answer: str) -> Entry | None:
  """Reads the entry from the answer of a prompt; None for any other text."""
  try:
    entry = Entry(**json.loads(answer)[KEY])
  except (ValueError, TypeError, KeyError, RecursionError):
    return None
  integers = all(type(number) is int for number in entry[1:])
  return entry if integers and isinstance(entry.task, str) else None


def rows(source: str) -> Iterator[PromptRow]:
  """The entries of a source as (number from 0, question, task, answer).

  They are equal on every machine, for one version of the library. Two seeds
  draw from the library independently; `distinct_ids` removes common prompts.

  Raises:
    InputError: the source cannot be read, an unknown task, no library.
  """
  tasks, count, seed = _parts(source)
  ask = library(SECONDS)
  names = ask('tasks')
  for task in tasks:
    if task not in names:
      raise unknown_name(task, names, 'task of reasoning-gym')
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
    yield PromptRow(number, question, task, entry.as_answer())


def distinct_ids(training: Sequence[str], held_out: Sequence[str]) -> list[int]:
  """The ids of training prompts that are not held out.

  Tasks with few questions make the same ones from any seed.

  Raises:
    InputError: no prompt is left.
  """
  excluded = set(held_out)
  ids = [i for i, text in enumerate(training) if text not in excluded]
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
  """The function of `reasoning_child`; its process starts once, in seconds.

  Args:
    seconds: the limit on the computing time of a reply.

  Raises:
    InputError: the library is not installed or does not work.
  """
  return make_child_function(CHILD, seconds, _not_usable)


def _not_usable(reason: str) -> InputError:
  return InputError(
    f'Expected reasoning-gym; here it does not work: {reason}. Install the '
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
  """A seed of the library far from others: it draws entry i from seed + i."""
  digest = hashlib.sha256(f'{task} {seed}'.encode()).digest()
  return int.from_bytes(digest[:4], 'big') >> 1
