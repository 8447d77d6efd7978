"""A step of this package with random weights, stage by stage on one device."""

from collections.abc import Callable
import pathlib
from typing import Any

import jax
from ml_collections import ConfigDict

from adrpo_jax import sharding
from adrpo_jax.builders.abstract_stages import stages_of
from adrpo_jax.builders.model_flops import model_flops
from benchmarks import timing
from benchmarks.device.random_arrays import random_arrays

SPREAD = 0.1  # of random rewards


def make_step(config: ConfigDict, *, judged: bool) -> timing.Step:
  """() -> seconds of rollout, reward and update, on random weights.

  Args:
    config: of a family whose shapes are known without weights.
    judged: whether samples are decoded and judged on the device.
  """
  mesh = sharding.make_mesh(**config.mesh)
  stages = stages_of(config, mesh)
  rollout, (_, frozen, prompts, key), _ = stages['rollout']
  update, (state, _, _, scores, *_), _ = stages['update']
  decode = stages['decoding'].function
  judge, towers = None, ()
  if 'reward' in stages:
    judge, (_, *towers), _ = stages['reward']
  frozen, prompts, key, towers = random_arrays((frozen, prompts, key, towers))
  scores = random_arrays(scores, SPREAD)
  # Moments of the optimizer begin at zero, and so does its count of steps.
  params = random_arrays(state.params)
  state = random_arrays(state, 0).replace(params=params)

  def sampled():
    return (rollout(state.params, frozen, prompts, key),)

  def rewarded(samples):
    if judged:
      images = decode(frozen, samples)
      jax.block_until_ready(judge(images, *towers) if judge else images)
    return (samples,)

  def updated(samples):
    nonlocal state
    state, metrics = update(state, frozen, samples, scores, prompts, key)
    return (metrics,)

  return lambda: timing.timed(
    sampled, rewarded, updated, wait=jax.block_until_ready
  )


def measure(
  config: ConfigDict,
  *,
  judged: bool,
  repeats: int,
  limit: Callable[[], float],
  report: Callable[[dict[str, Any]], Any],
  trace: pathlib.Path | None = None,
) -> None:
  """Reports median seconds, operations and peak memory after every step.

  Args:
    config: see `make_step`.
    judged: likewise.
    repeats: steps to time.
    limit: () -> seconds that are left.
    report: is called with the result so far.
    trace: a folder for the trace of one more step, for XProf or Perfetto.
  """
  device = jax.devices()[0]
  asked = model_flops(config)
  facts = {
    'device': device.device_kind,
    'model_flops': {stage: asked[stage] for stage in ('rollout', 'update')},
  }

  def with_peak(result: dict[str, Any]) -> None:
    stats = device.memory_stats() or {}
    peak = stats.get('peak_bytes_in_use')
    mib = timing.host_peak_mib() if peak is None else round(peak / 2**20)
    stages = {k: v for k, v in result.items() if judged or k != 'reward'}
    report(facts | stages | {'peak_mib': mib})

  step = make_step(config, judged=judged)
  timing.median_seconds(step, repeats, limit=limit, report=with_peak)
  if trace:
    with jax.profiler.trace(trace):
      step()
