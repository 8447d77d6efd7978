"""The loop: rollout, reward, weights and update, checkpoint, evaluation.

A step is a pure function of (state, prompts, key), which all follow from the
number of the step. A run that was interrupted goes on to the same last bit.
"""

from collections.abc import Callable
import time
from typing import Any, NamedTuple, Protocol

from etils import epath
import jax
import numpy as np

from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.errors import RunError
from adrpo_jax.evaluate import Evaluation
from adrpo_jax.experience import Experience, elapsed
from adrpo_jax.metrics import MetricsLog, Progress
from adrpo_jax.rewards.protocol import check_invalid_share
from adrpo_jax.rewards.weighted_sum import measure_masks
from adrpo_jax.stats.utilization import Utilization, unknown
from adrpo_jax.system.preemption import Preemption, Stopped
from adrpo_jax.system.records import cut_back
from adrpo_jax.system.tracing import StepTrace
from adrpo_jax.types import PyTree, Scores, TrainState

BETA_BINS = 24
# Metrics of an update that a line of metrics.jsonl holds in another form.
NOT_LOGGED = {'weights', 'beta', 'usable', 'finite', 'counted', 'policy'}


class NonFiniteError(RunError):
  """A loss or a gradient was not finite; the state was left as it was."""


class ReplayError(RunError):
  """The update does not reproduce the rollout it learns from."""


class Schedule(NamedTuple):
  """The schedule of the loop."""

  steps: int
  seed: int
  checkpoint_every: int  # 0: after the last only
  keep: int
  evaluate_every: int  # 0: before the first step and after the last only
  invalid_limit: float
  tensorboard: bool
  profiled: range = range(0)  # steps whose trace is written


class Outcome(NamedTuple):
  """The end of a run. `preempted`: it saved and left early, to be continued."""

  state: TrainState
  preempted: bool
  seconds: float  # of the steps of this process
  samples: int


class Trained(Protocol):
  """The part of a run that the loop reads; `builders.Run` is one.

  init:             () -> the state before the first step
  abstract:         its shapes and shardings, for a checkpoint to restore into
  update:           see `update.make_update`, jitted
  frozen:           arrays that no step changes
  replay_tolerance: how far log-probabilities of rollout and update may differ
  """

  @property
  def init(self) -> Callable[[], TrainState]: ...
  @property
  def abstract(self) -> TrainState: ...
  @property
  def update(self) -> Callable[..., tuple[TrainState, Any]]: ...
  @property
  def frozen(self) -> PyTree: ...
  @property
  def replay_tolerance(self) -> float: ...


def train(
  run: Trained,
  experience: Experience,
  evaluate: Callable[[int, TrainState, Callable[[], None]], Evaluation],
  schedule: Schedule,
  workdir: epath.Path,
  mirror: Callable[[int, dict[str, Any]], None] = lambda step, line: None,
  utilization: Utilization = unknown,
) -> Outcome:
  """Runs all steps that are not in `workdir` yet.

  Args:
    run: the functions and arrays of the loop.
    experience: (state, step, key) -> prompts, samples, scores and timings, see
      `experience.online`.
    evaluate: (step, state, between) -> Evaluation, which it also keeps. It
      calls `between`, which may raise Stopped, between its batches.
    schedule: see `Schedule`.
    workdir: receives metrics.jsonl, evaluations and checkpoints.
    mirror: (step, line of metrics.jsonl) -> None, another place for the line.
    utilization: (timings) -> numbers of the speed of a step for its line.

  Raises:
    NonFiniteError: with the step, the metric and the last good checkpoint.
    ReplayError: the update has other log-probabilities than the rollout.
    RewardError: too many invalid samples in a step.
  """
  checkpoints = Checkpoints(workdir / 'checkpoints', schedule.keep)
  with checkpoints, Preemption() as preemption:
    restored = checkpoints.restore(run.abstract)
    state = restored.state if restored else run.init()
    start = restored.step if restored else 0
    cut_back(workdir / 'metrics.jsonl', start, range(start))
    cut_back(workdir / 'evaluations.jsonl', max(start, 1))  # 0 is the base
    log = MetricsLog(
      workdir / 'metrics.jsonl',
      tensorboard=workdir / 'tensorboard' if schedule.tensorboard else None,
      start=start,
    )
    progress = Progress(schedule.steps, start=start)
    run_key = jax.random.key(schedule.seed)
    began, samples_seen = time.monotonic(), 0
    preempted, host_clock = False, HostClock()
    trace = StepTrace(workdir / 'profile', schedule.profiled)
    with log, trace:
      for step in range(start, schedule.steps):
        if preemption.requested(step):
          preempted = True
          break
        if _due(step, schedule.evaluate_every):
          try:
            evaluate(step, state, preemption.check)
          except Stopped:
            preempted = True
            break
          host_clock.start()
        key = jax.random.fold_in(run_key, step)
        with trace.step(step):
          prompts, samples, scores, timings = experience(state, step, key)
          check_invalid_share(
            float(1 - scores.valid.mean()), limit=schedule.invalid_limit
          )
          since = time.monotonic()
          state, metrics = run.update(
            state,
            run.frozen,
            samples,
            scores,
            prompts,
            jax.random.fold_in(key, 1),
          )
          timings['seconds_update'] = elapsed(metrics['loss'], since)
          metrics = jax.device_get(metrics)
        preemption.save_from_now_on()
        timings['seconds_host'] = host_clock.seconds(timings)
        timings |= utilization(timings)
        line = record(metrics, jax.device_get(scores), timings)
        log.write(step, line)
        mirror(step, line)
        progress.update(step + 1, _shown(line))
        if not metrics['finite']:
          raise NonFiniteError(_not_finite(step, metrics, checkpoints.steps()))
        _check_replay(step, metrics, run.replay_tolerance)
        samples_seen += scores.rewards.size
        if _due(step + 1, schedule.checkpoint_every):
          log.settle()
          checkpoints.save(step + 1, state, {'seed': schedule.seed})
          host_clock.start()
    progress.close()
    seconds = time.monotonic() - began
    if int(state.step) > start:
      checkpoints.save(int(state.step), state, {'seed': schedule.seed})
  return Outcome(state, preempted, seconds, samples_seen)


class HostClock:
  """Measures what the host does between the stages of a step.

  The line of the step before is part of it. Evaluations and checkpoints are
  not, since the clock starts anew behind them.
  """

  def __init__(self) -> None:
    self.start()

  def start(self) -> None:
    """Forgets the time before now."""
    self._since = time.monotonic()

  def seconds(self, timings: dict[str, float]) -> float:
    """Returns the seconds that no stage took, and starts anew."""
    before = self._since
    self.start()
    return max(0.0, self._since - before - _stage_seconds(timings))


def _stage_seconds(timings: dict[str, float]) -> float:
  return sum(v for name, v in timings.items() if name.startswith('seconds'))


def record(
  metrics: dict[str, Any], scores: Scores, timings: dict[str, float]
) -> dict[str, Any]:
  """Makes the line of a step in metrics.jsonl."""
  weights, beta = metrics['weights'], metrics['beta']
  usable, valid = metrics['usable'], scores.valid
  groups = np.where(valid, scores.rewards, np.nan)
  spread = np.nanmax(groups, 1) - np.nanmin(groups, 1) if valid.any() else 0.0
  level = float(beta[usable].mean()) if usable.any() else 0.0
  used = beta[usable] if usable.any() else np.zeros(1)
  advantage = weights.policy[usable] if usable.any() else np.zeros(1)
  counts, edges = np.histogram(used, BETA_BINS)
  seconds = _stage_seconds(timings)
  measures = {
    name: float(scores.measures[name][mask].mean())
    for name, mask in measure_masks(scores).items()
    if mask.any()
  }
  return {
    'reward': float(scores.rewards[valid].mean()) if valid.any() else None,
    'reward_std': float(np.nanstd(groups)),
    **measures,
    'zero_variance': float(np.mean(spread == 0)),
    'advantage_max': float(advantage.max()),
    'advantage_over_beta0_max': float(advantage.max() / level)
    if level
    else None,
    'beta_mean': level,
    'beta_min': float(used.min()),
    'beta_max': float(used.max()),
    'beta_negative': float(np.mean(used < 0)),
    'beta_histogram': {'edges': edges.tolist(), 'counts': counts.tolist()},
    'policy_loss': float(metrics['policy']),
    **{
      name: np.asarray(value, np.float64).tolist()
      for name, value in metrics.items()
      if name not in NOT_LOGGED
    },
    'valid': float(valid.mean()),
    'usable': float(usable.mean()),
    **timings,
    **_speeds(scores.rewards.size, seconds, timings),
  }


def _speeds(
  samples: int, seconds: float, timings: dict[str, float]
) -> dict[str, float]:
  """Computes samples per second of a step, and tokens per second of rollout."""
  speeds = {'samples_per_second': samples / max(seconds, 1e-9)}
  if 'length' in timings:
    tokens = samples * timings['length']
    rollout = max(timings['seconds_rollout'], 1e-9)
    speeds['tokens_per_second'] = tokens / rollout
  return speeds


def _due(step: int, every: int) -> bool:
  return every > 0 and step > 0 and step % every == 0


def _shown(line: dict[str, Any]) -> dict[str, Any]:
  shown = {
    'reward': line['reward'] if line['reward'] is not None else float('nan'),
    'D': line.get('divergence', float('nan')),
    'β': line['beta_mean'],
  }
  shown |= {'samples/s': line['samples_per_second']}
  if 'mfu' in line:
    shown |= {'TFLOP/s': line['tflops_per_device'], 'MFU': f'{line["mfu"]:.0%}'}
  return shown


def _check_replay(step: int, metrics: dict[str, Any], tolerance: float) -> None:
  """Raises ReplayError if update and rollout have other log-probabilities."""
  difference = float(metrics.get('log_prob_replay', 0.0))
  if difference > tolerance:
    raise ReplayError(
      f'Step {step}: before its first update the log-probability of the stored '
      f'steps differs by {difference:.2g} from that of the rollout, more than '
      f'{tolerance}. Rollout and update must use the same parameters, '
      'guidance and precision.'
    )


def _not_finite(step: int, metrics: dict[str, Any], saved: list[int]) -> str:
  broken = [
    name
    for name in ('loss', 'grad_norm', 'policy', 'divergence')
    if name in metrics and not np.isfinite(metrics[name])
  ]
  last = f'checkpoint {saved[-1]}' if saved else 'no checkpoint yet'
  return (
    f'Step {step}: {", ".join(broken) or "the loss"} is not finite. The state '
    f'was left as it was before this step; the last good one on disk is '
    f'{last}. Lower training.learning_rate, or raise β₀ or the divergence '
    'weight, and start in another workdir.'
  )
