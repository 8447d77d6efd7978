"""The line of a step: what it says of rewards that could not judge all."""

import numpy as np
import pytest

from adrpo_jax import train
from adrpo_jax.train import record
from adrpo_jax.types import Scores, Weights

FEW = np.array([[True, False], [True, False]])
TASTE = np.array([[1.0, 3.0], [5.0, 100.0]])
TASTE_VALID = np.array([[1.0, 1.0], [1.0, 0.0]])


def line_of(scores):
  zeros = np.zeros((2, 2))
  metrics = {
    'weights': Weights(zeros, zeros),
    'beta': zeros + 0.5,
    'usable': scores.valid,
    'policy': 0.25,
    'loss': 0.25,
  }
  return record(metrics, scores, {'seconds_rollout': 2.0})


def test_a_measure_is_the_mean_of_what_its_own_reward_could_judge():
  line = line_of(
    Scores(
      np.array([[1.0, 0.0], [3.0, 0.0]]),
      FEW,
      {'taste/reward': TASTE, 'taste/valid': TASTE_VALID, 'success': TASTE},
    )
  )
  assert line['reward'] == 2.0
  assert line['valid'] == 0.5
  assert line['taste/reward'] == 3.0  # of 1, 3 and 5
  assert line['taste/valid'] == 0.75
  assert line['success'] == 3.0  # of 1 and 5: those the sum is known of
  assert line['samples_per_second'] == pytest.approx(2.0)


def test_a_step_that_nothing_could_judge_has_no_measures():
  line = line_of(Scores(np.zeros((2, 2)), ~FEW & FEW, {'success': TASTE}))
  assert line['reward'] is None
  assert 'success' not in line


def test_what_no_stage_took_is_of_the_host(monkeypatch):
  moments = iter([90.0, 100.0, 110.0, 111.0])
  monkeypatch.setattr(train.time, 'monotonic', lambda: next(moments))
  timings = {'seconds_rollout': 4.0, 'seconds_update': 3.5, 'length': 7.0}
  clock = train.HostClock()
  clock.start()  # An evaluation has taken ten seconds.
  assert clock.seconds(timings) == 2.5
  # A rollout that has been judged meanwhile.
  assert clock.seconds(timings) == 0.0


def test_the_speed_of_known_chips_is_shown():
  line = {'reward': 0.5, 'beta_mean': 1.0, 'samples_per_second': 8.0}
  assert 'MFU' not in train._shown(line)
  shown = train._shown(line | {'tflops_per_device': 84.7, 'mfu': 0.43})
  assert (shown['TFLOP/s'], shown['MFU']) == (84.7, '43%')
