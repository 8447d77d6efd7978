"""Seconds of a step on the devices that are here: runs of a few steps.

On CPUs each run is a process with as many virtual devices, which share the
cores: its figures say whether programs run and what they compute, and nothing
of chips. On chips, a run takes the first of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import pathlib
import statistics
from typing import NamedTuple

from adrpo_jax.compare.child_runs import ChildRuns
from adrpo_jax.errors import InputError
from adrpo_jax.stats.utilization import STAGES
from adrpo_jax.system.records import read_config, read_lines, read_summary

STEPS = 4  # of a run; the first compiles and does not count


class Measured(NamedTuple):
  """Medians over the steps of a run but the first.

  stages: seconds of rollout, reward, update and host
  mfu: None where the chip is not known
  """

  devices: int
  device: str
  samples: int
  stages: Mapping[str, float]
  mfu: float | None = None

  @property
  def seconds(self) -> float:
    """Returns the seconds of a step."""
    return sum(self.stages.values())

  @property
  def speed(self) -> float:
    """Returns samples per second."""
    return self.samples / self.seconds


def measured_runs(
  arguments: Sequence[str],
  counts: Sequence[int],
  folder: pathlib.Path,
  runs: ChildRuns,
  say: Callable[[str], None],
) -> Iterator[Measured]:
  """Yields the seconds on each number of devices; finished runs are read.

  Args:
    arguments: of `adrpo_jax.main`, without a workdir.
    counts: numbers of devices.
    folder: each run is a folder in it, named by the number.
    runs: begins them.
    say: is told of each run.

  Raises:
    InputError: a run has failed, after it has said why.
  """
  for count in counts:
    workdir = folder / f'{count}_devices'
    say(f'{count} devices: {workdir}')
    status = runs.run(
      [str(count), *arguments, f'--workdir={workdir}'],
      module='adrpo_jax.scaling.on_devices',
      variables={'JAX_NUM_CPU_DEVICES': str(count)},
    )
    if runs.stopped:
      return
    if status or not read_summary(workdir):
      raise InputError(
        f'Expected a run on {count} devices to end well, got the exit status '
        f'{status}. Its folder is {workdir}; numbers of devices are those of '
        '--devices.'
      )
    yield measured(workdir, count)


def measured(workdir: pathlib.Path, devices: int) -> Measured:
  """Returns the figures of a finished run."""
  stored = read_config(workdir) or {}
  prompts = stored['config']['prompts']
  lines = read_lines(workdir / 'metrics.jsonl')[1:]

  def median(name: str) -> float | None:
    values = [line[name] for line in lines if line.get(name) is not None]
    return statistics.median(values) if values else None

  return Measured(
    devices=devices,
    device=stored.get('device', ''),
    samples=prompts['prompts_per_step'] * prompts['group_size'],
    stages={stage: median(f'seconds_{stage}') or 0.0 for stage in STAGES},
    mfu=median('mfu'),
  )


def run_arguments(words: Sequence[str], per_chip: int) -> list[str]:
  """Returns the arguments of a measured run: few steps, no evaluations between.

  Keys of the command line come last, so that they win.
  """
  short = {
    'steps': STEPS,
    'eval.every': 0,
    'checkpoint.every': 0,
    'log.tensorboard': False,
  }
  config, *own = [word for word in words if word.startswith('--config')]
  batch = [f'--prompts_per_chip={per_chip}'] if per_chip else []
  keys = [f'--config.{key}={value}' for key, value in short.items()]
  return [config, *keys, *own, *batch]
