"""Model-FLOP utilization: what a model asks for, over what devices could do."""

from collections.abc import Callable, Mapping

STAGES = ('rollout', 'reward', 'update', 'host')  # of the seconds of a step

# (name -> a number of a step) -> numbers that follow, by name
Utilization = Callable[[Mapping[str, float]], dict[str, float]]


def utilization(
  flops: Mapping[str, float], devices: int, peak: float
) -> Utilization:
  """Makes (timings) -> 'tflops_per_device' and 'mfu' of a step.

    mfu = operations / (seconds · devices · peak)

  over the seconds of the stages that operations are known of.

  Args:
    flops: stage -> operations that the model asks for in a step, on all
      devices.
    devices: their number.
    peak: operations per second of one device.
  """

  def of_step(timings: Mapping[str, float]) -> dict[str, float]:
    seconds = sum(timings[f'seconds_{stage}'] for stage in flops)
    if not seconds:
      return {}
    speed = sum(flops.values()) / seconds / devices
    return {'tflops_per_device': speed / 1e12, 'mfu': speed / peak}

  return of_step


def unknown(timings: Mapping[str, float]) -> dict[str, float]:
  """Says nothing, where operations or the speed of devices are not known."""
  del timings
  return {}
