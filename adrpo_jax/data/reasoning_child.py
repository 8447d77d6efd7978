"""What reasoning-gym is asked in a process of its own; imports no package."""

from collections.abc import Callable
import copy
import functools
import random
from typing import Any

COMPOSITE = 'composite'  # is no task, but a mixture of them


def loaded() -> Callable[..., Any]:
  """A function ('tasks' | 'question' | 'score', ...) -> reply.

  tasks()                            the names of all
  question(*entry)                   its text
  score(*entry, question, answer)    in [0, 1]; None where the entry has
                                     another question

  `entry` is (task, seed, size, place), from which the library makes the same
  entry again: one place of a data set of the task in its usual difficulty.

  Raises:
    ImportError: there is no reasoning-gym.
  """
  from reasoning_gym import factory, utils

  def tasks() -> list[str]:
    return sorted(name for name in factory.DATASETS if name != COMPOSITE)

  @functools.lru_cache(maxsize=128)
  def made(task: str, seed: int, size: int) -> Any:
    return factory.create_dataset(task, seed=seed, size=size)

  @functools.lru_cache(maxsize=1024)
  def entry(task: str, seed: int, size: int, place: int) -> dict[str, Any]:
    # Some tasks draw from the state that all of Python shares.
    random.seed(f'{task} {seed} {place}')
    return made(task, seed, size)[place]

  def question(*given: Any) -> str:
    return entry(*given)['question'].strip()

  def score(*given: Any) -> float | None:
    *where, asked, text = given
    if question(*where) != asked:
      return None
    kept = copy.deepcopy(entry(*where))
    answer = utils.extract_answer(text)
    try:
      number = float(made(*where[:3]).score_answer(answer, kept))
    except Exception:  # Any: the library stumbles over what it cannot read.
      return 0.0
    return min(number, 1.0) if number > 0 else 0.0

  replies: dict[str, Callable[..., Any]] = {
    'tasks': tasks,
    'question': question,
    'score': score,
  }
  return lambda what, *given: replies[what](*given)
