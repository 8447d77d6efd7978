"""Model-FLOP utilization, by hand."""

import pytest

from adrpo_jax.stats.utilization import unknown, utilization

TIMINGS = {'seconds_rollout': 3.0, 'seconds_reward': 9.0, 'seconds_update': 2.0}


def test_operations_over_what_devices_could_do():
  """Four devices of 100 TFLOP/s, and 1000 TFLOP in the 5 s of two stages."""
  of_step = utilization({'rollout': 600e12, 'update': 400e12}, 4, 100e12)
  assert of_step(TIMINGS) == pytest.approx(
    {'tflops_per_device': 50.0, 'mfu': 0.5}
  )


def test_of_a_language_model_the_update_alone_counts():
  of_step = utilization({'update': 400e12}, 4, 100e12)
  assert of_step(TIMINGS)['mfu'] == pytest.approx(0.5)
  assert utilization({}, 4, 100e12)(TIMINGS) == {}


def test_unknown_chips_say_nothing():
  assert unknown(TIMINGS) == {}
