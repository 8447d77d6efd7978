"""The samples and rewards of a step: from a rollout, or from stored pairs."""

from collections.abc import Callable, Mapping
import time
from typing import Any, Protocol

from etils import epath
import jax
import numpy as np

from adrpo_jax import preferences
from adrpo_jax.method.record import Method
from adrpo_jax.metrics import Progress
from adrpo_jax.rewards.overlap import draw_and_judge
from adrpo_jax.rewards.protocol import Reward
from adrpo_jax.types import PromptBatch, PyTree, Scores, TrainState
from adrpo_jax.update import behavior_params

# (state, step, key) -> prompts, samples, scores, and timings and measures.
Experience = Callable[
  [TrainState, int, jax.Array],
  tuple[PromptBatch, PyTree, Scores, dict[str, float]],
]


class Sampled(Protocol):
  """The part of a run that drawing samples reads; see `builders.Run`."""

  @property
  def frozen(self) -> PyTree: ...
  @property
  def prompts_at(self) -> Callable[[int], PromptBatch]: ...
  @property
  def rollout(self) -> Callable[..., PyTree]: ...
  @property
  def decode(self) -> Callable[..., PyTree]: ...
  @property
  def reward(self) -> Reward: ...
  @property
  def gather(self) -> Callable[[PyTree], PyTree]: ...


class Online(Sampled, Protocol):
  """The part of a run that `online` reads."""

  @property
  def method(self) -> Method: ...
  @property
  def measures(self) -> Callable[..., Any]: ...
  @property
  def parts(self) -> int: ...


class Offline(Sampled, Protocol):
  """The part of a run that `offline` reads."""

  @property
  def init(self) -> Callable[[], TrainState]: ...
  @property
  def abstract(self) -> TrainState: ...
  @property
  def groups(self) -> tuple[int, int]: ...
  @property
  def prompts_of(self) -> Callable[[np.ndarray], PromptBatch]: ...
  @property
  def prompt_count(self) -> int: ...
  @property
  def id_limits(self) -> Mapping[str, int]: ...
  @property
  def place(self) -> Callable[[PyTree], PyTree]: ...


def online(run: Online) -> Experience:
  """Makes experience of rollouts by the behavior policy."""
  measures = jax.jit(run.measures)

  def experience(state, step, key):
    prompts = run.prompts_at(step)
    params = behavior_params(run.method, state)
    since = time.monotonic()
    noise_key = jax.random.fold_in(key, 0)

    def draw(part: PromptBatch) -> tuple[PyTree, jax.Array]:
      samples = run.rollout(params, run.frozen, part, noise_key)
      return samples, run.decode(run.frozen, samples)

    (samples, decoded), finish = draw_and_judge(
      draw, run.reward, prompts, parts=run.parts
    )
    rollout_seconds = elapsed(samples, since)
    since = time.monotonic()
    scores = run.gather(finish())
    timings = {
      'seconds_rollout': rollout_seconds,
      'seconds_reward': elapsed(scores.rewards, since),
      **{k: float(v.mean()) for k, v in measures(decoded).items()},
    }
    return prompts, samples, scores, timings

  return experience


def offline(
  run: Offline, path: epath.Path, steps: int, seed: int
) -> Experience:
  """Makes experience of stored pairs.

  If `path` does not exist, the base first draws pairs for all steps.
  """
  if not path.exists():
    _draw_pairs(run, path, steps, seed)
  pairs = preferences.read(path, run.prompt_count)
  drawn = jax.eval_shape(
    run.rollout,
    run.abstract.params,
    run.frozen,
    run.prompts_at(0),
    jax.random.key(seed),
  )
  preferences.check_samples(path, pairs, drawn, run.id_limits)
  per_step = run.groups[0]

  def experience(state, step, key):
    del state, key
    since = time.monotonic()
    rows = np.arange(step * per_step, (step + 1) * per_step)
    ids, samples, scores = preferences.as_experience(
      pairs, rows % len(pairs['ids'])
    )
    prompts, samples = run.prompts_of(ids), run.place(samples)
    timings = {
      'seconds_rollout': elapsed(samples, since),
      'seconds_reward': 0.0,
    }
    return prompts, samples, scores, timings

  return experience


def _draw_pairs(run: Offline, path: epath.Path, steps: int, seed: int) -> None:
  params = run.init().params
  progress = Progress(steps)

  def sample(step):
    key = jax.random.fold_in(jax.random.key(seed), step)
    prompts = run.prompts_at(step)
    samples = run.rollout(
      params, run.frozen, prompts, jax.random.fold_in(key, 0)
    )
    decoded = run.decode(run.frozen, samples)
    scores = run.gather(run.reward(prompts, decoded))
    return prompts.ids, samples, scores

  preferences.draw(
    path,
    steps,
    sample,
    lambda step: progress.update(step + 1, {'drawing': 'pairs'}),
  )
  progress.close()


def elapsed(waited_for: PyTree, since: float) -> float:
  """Seconds since a `time.monotonic`, once all arrays are computed."""
  jax.block_until_ready(waited_for)
  return time.monotonic() - since
