"""Signals to the loop of one process; several are in test_checkpoint.py."""

import os
import signal
import time

import pytest

from adrpo_jax.system.preemption import Preemption, Stopped
from adrpo_jax.system.stop_signals import stop_signals


def requested(preemption):
  """Waits for the thread that reads the signals."""
  give_up = time.monotonic() + 100
  while not preemption.requested(0) and time.monotonic() < give_up:
    time.sleep(0.005)
  return preemption.requested(1)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noticed_and_the_handler_given_back(number):
  before = signal.getsignal(number)
  with Preemption() as preemption:
    assert not preemption.requested(0)
    preemption.check()
    os.kill(os.getpid(), number)
    assert requested(preemption)
    with pytest.raises(Stopped):
      preemption.check()
  assert signal.getsignal(number) == before


def test_until_there_is_something_to_save_the_block_around_it_reacts():
  counts = []
  with stop_signals(counts.append), Preemption() as preemption:
    os.kill(os.getpid(), signal.SIGTERM)
    while counts != [1]:
      time.sleep(0.005)
    assert not preemption.requested(0)
  with stop_signals(counts.append), Preemption() as preemption:
    preemption.save_from_now_on()
    os.kill(os.getpid(), signal.SIGTERM)
    assert requested(preemption)
  assert counts == [1]
