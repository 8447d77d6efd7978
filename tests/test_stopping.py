"""The loop is told to stop: in a step, and in an evaluation. No model runs."""

import os
import signal
import time
from typing import NamedTuple

import jax
import numpy as np
import pytest
import small_run

from adrpo_jax import train
from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.types import Weights


class State(NamedTuple):
  """All that the loop asks of a state."""

  step: np.ndarray


class Counting:
  """A run whose only work is to count steps."""

  abstract = State(jax.ShapeDtypeStruct((), np.int32))
  frozen = None
  replay_tolerance = 1.0

  def init(self):
    return State(np.zeros((), np.int32))

  def update(self, state, *_):
    ones = np.ones((small_run.P, small_run.G), np.float32)
    metrics = {'loss': np.zeros(()), 'policy': np.zeros(()), 'finite': True}
    metrics |= {
      'weights': Weights(ones, ones),
      'beta': ones,
      'usable': ones > 0,
    }
    return State(state.step + 1), metrics


def experience(state, step, key):
  timings = {f'seconds_{part}': 0.1 for part in ('rollout', 'reward')}
  return None, None, small_run.made_scores(), timings


SCHEDULE = train.Schedule(
  steps=9,
  seed=0,
  checkpoint_every=9,
  keep=2,
  evaluate_every=3,
  invalid_limit=0.0,
  tensorboard=False,
)


def no_evaluation(step, state, between):
  between()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_an_evaluation_is_left_and_the_steps_before_it_saved(tmp_path, number):
  begun = []

  def evaluate(step, state, between):
    begun.append(step)
    os.kill(os.getpid(), number)
    while True:  # The batches of a long evaluation.
      between()
      time.sleep(0.005)

  outcome = train.train(Counting(), experience, evaluate, SCHEDULE, tmp_path)
  assert outcome.preempted
  assert begun == [3]
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    assert checkpoints.steps() == [3]
  again = train.train(Counting(), experience, no_evaluation, SCHEDULE, tmp_path)
  assert not again.preempted
  lines = small_run.records(tmp_path / 'metrics.jsonl')
  assert [line['step'] for line in lines] == list(range(9))


def test_a_step_is_finished_and_saved(tmp_path, capsys):
  def interrupted(state, step, key):
    if step == 1:
      os.kill(os.getpid(), signal.SIGINT)
      time.sleep(1)  # A long rollout: the signal is read while it lasts.
    return experience(state, step, key)

  outcome = train.train(
    Counting(), interrupted, no_evaluation, SCHEDULE, tmp_path
  )
  assert outcome.preempted
  assert int(outcome.state.step) == 2
  assert 'A second signal ends it at once.' in capsys.readouterr().err
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    assert checkpoints.steps() == [2]
