"""A child process that ends, computes without end or hangs has no reply."""

import signal

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.system import child_process

PROGRAM = """
import os, threading

def loaded():
  {load}
  def answer(question):
    if question == 'wait':
      threading.Event().wait()
    if question == 'compute':
      while True:
        pass
    if question == 'end':
      os._exit(3)
    return [question]
  return answer
"""


@pytest.fixture
def started(monkeypatch):
  """The processes of the test, in their order."""
  children, start = [], child_process._child

  def child(*arguments):
    children.append(start(*arguments))
    return children[-1]

  monkeypatch.setattr(child_process, '_child', child)
  return children


@pytest.fixture
def make(tmp_path):
  """Makes the function that asks the program; `load` is how it starts."""

  def function(load='pass', seconds=60.0):
    file = tmp_path / 'program.py'
    file.write_text(PROGRAM.format(load=load))
    return child_process.make_child_function(file, seconds, InputError)

  return function


@pytest.mark.parametrize(
  ('question', 'seconds', 'status'),
  [
    ('end', 60.0, {3}),
    # The timer of the process; the clock where a kernel is late with that.
    ('compute', 0.2, {-signal.SIGPROF, -signal.SIGKILL}),
    ('wait', 0.2, {-signal.SIGKILL}),
  ],
)
def test_a_question_without_a_reply_is_none_and_the_next_has_one(
  make, started, monkeypatch, question, seconds, status
):
  monkeypatch.setattr(child_process, 'WAITING', 2.0)
  ask = make(seconds=seconds)
  assert ask('a') == ['a']
  assert ask(question) is None
  assert started[0].returncode in status
  assert ask('b') == ['b']
  assert len(started) == 2


@pytest.mark.parametrize(
  ('load', 'limit', 'message'),
  [
    ('raise ImportError("not here")', 60.0, 'ImportError: not here'),
    ('os._exit(0)', 60.0, 'ended or hung before it was ready'),
    ('threading.Event().wait()', 1.0, 'ended or hung before it was ready'),
  ],
)
def test_a_program_that_does_not_load_is_refused(
  make, monkeypatch, load, limit, message
):
  monkeypatch.setattr(child_process, 'LOADING', limit)
  with pytest.raises(InputError, match=message):
    make(load)
