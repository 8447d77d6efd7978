"""SIGTERM to one process; several are in test_checkpoint.py."""

import os
import signal

from adrpo_jax.system.preemption import Preemption


def test_a_signal_is_noticed_and_the_handler_given_back():
  before = signal.getsignal(signal.SIGTERM)
  with Preemption() as preemption:
    assert not preemption.requested(0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert preemption.requested(1)
    assert preemption.requested(2)
  assert signal.getsignal(signal.SIGTERM) == before
