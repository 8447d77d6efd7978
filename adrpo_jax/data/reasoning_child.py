"""The child process of reasoning-gym; imports nothing of this package."""

from collections.abc import Callable
import copy
import functools
import random
from typing import Any

COMPOSITE = 'composite'  # not a task, but a mixture of tasks


def loaded() -> Callable[..., Any]:
  """Returns a function ('tasks' | 'question' | 'score', ...) -> reply.

  tasks()                            the names of all tasks
  question(*entry)                   the text of its question
  score(*entry, question, answer)    in [0, 1]; None where the entry has
                                     another question

  `entry` is (task, seed, size, place), from which the library makes the same
  entry again: one place of a data set of the task in its default difficulty.

  Raises:
    ImportError: there is no reasoning-gym.
  """
  from reasoning_gym import factory, utils

  def tasks() -> list[str]:
    return sorted(name for name in factory.DATASETS if name != COMPOSITE)

  @functools.lru_cache(maxsize=128)
  def dataset(task: str, seed: int, size: int) -> Any:
    return factory.create_dataset(task, seed=seed, size=size)

  @functools.lru_cache(maxsize=1024)
  def entry(task: str, seed: int, size: int, place: int) -> dict[str, Any]:
    # Some tasks draw from the global state of `random`.
    random.seed(f'{task} {seed} {place}')
    return dataset(task, seed, size)[place]

  def question(*entry_key: Any) -> str:
    return entry(*entry_key)['question'].strip()

  def score(*arguments: Any) -> float | None:
    *entry_key, asked, text = arguments
    if question(*entry_key) != asked:
      return None
    copied = copy.deepcopy(entry(*entry_key))
    answer = utils.extract_answer(text)
    try:
      number = float(dataset(*entry_key[:3]).score_answer(answer, copied))
    except Exception:  # The library raises on answers that it cannot read.
      return 0.0
    return min(number, 1.0) if number > 0 else 0.0

  replies: dict[str, Callable[..., Any]] = {
    'tasks': tasks,
    'question': question,
    'score': score,
  }
  return lambda name, *arguments: replies[name](*arguments)
