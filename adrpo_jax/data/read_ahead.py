"""Reads the prompts of the next step while this one is computed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Read = TypeVar('Read')


def read_ahead(read: Callable[[int], Read]) -> Callable[[int], Read]:
  """Returns `read`, a function of the step, with the next step read in advance.

  One thread reads; what it raises is raised where the step is asked for. Steps
  may be asked for in any order, but only the next one is ready.
  """
  reader = ThreadPoolExecutor(1, thread_name_prefix='prompts')
  ready: dict[int, Future[Read]] = {}

  def ahead(step: int) -> Read:
    now = ready.pop(step, None) or reader.submit(read, step)
    for other in ready.values():
      other.cancel()
    ready.clear()
    ready[step + 1] = reader.submit(read, step + 1)
    return now.result()

  return ahead
