"""Seconds of the stages of a step: rollout, reward, update."""

from collections.abc import Callable
import resource
import statistics
import time
from typing import Any

STAGES = ('rollout', 'reward', 'update')
WARM_UP = 2

Seconds = dict[str, float]
Step = Callable[[], Seconds]


def timed(
  *stages: Callable, wait: Callable[[Any], Any] = lambda value: value
) -> Seconds:
  """Runs the stages, each on what the one before returned; their seconds.

  Args:
    stages: rollout, reward and update; what they return are tuples.
    wait: returns once what a stage returned has been computed.
  """
  seconds, value = {}, ()
  for name, stage in zip(STAGES, stages, strict=True):
    since = time.perf_counter()
    value = stage(*value)
    wait(value)
    seconds[name] = time.perf_counter() - since
  return seconds


def median_seconds(
  step: Step,
  repeats: int,
  *,
  limit: Callable[[], float] = lambda: float('inf'),
  report: Callable[[dict[str, Any]], Any] = lambda result: None,
) -> dict[str, Any]:
  """Median seconds of every stage and of the step, after two to warm up.

  `first_step` is the first of these two, with what it compiles.

  Args:
    step: one step, see `timed`.
    repeats: steps to time; `steps` of the result says how many were.
    limit: () -> seconds that are left; where none are, no further step
      begins, but for the first.
    report: is called with the result so far, after every step.
  """
  first = {'first_step': round(sum(step().values()), 1)}
  report(first)
  for _ in range(WARM_UP - 1):
    step()
  times: list[Seconds] = []
  result: dict[str, Any] = first
  while len(times) < repeats and (not times or limit() > 0):
    times.append(step())
    result = first | {n: _median(t[n] for t in times) for n in times[0]}
    result['step'] = _median(sum(t.values()) for t in times)
    result['steps'] = len(times)
    report(result)
  return result


def host_peak_mib() -> int:
  """The peak of this process's memory on the host, MiB."""
  return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _median(values) -> float:
  return round(statistics.median(values), 4)
