"""SIGINT and SIGTERM, whatever the main thread is busy with."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
import small_run

from adrpo_jax.system import stop_signals as module
from adrpo_jax.system.stop_signals import SIGNALS, listening, stop_signals

FOLDER = str(pathlib.Path(module.__file__).parent)
# The main thread is in a call that is begun again after each signal.
PROGRAM = """
import os
from stop_signals import end_at_once, stop_signals  # the file, without JAX
def stop(count):
  print(count, flush=True)
  if count > 1:
    end_at_once('ended')
with stop_signals(stop):
  print('started', flush=True)
  try:
    os.read(os.pipe()[0], 1)
  except BaseException as error:
    print(repr(error), flush=True)
"""


# One process that has joined a service of its own, as on a host of one.
JOINED = """
import os
import socket
import sys
import time
import jax
from adrpo_jax.system.stop_signals import (
  end_at_once, listen_again, stop_signals,
)
with socket.socket() as free:
  free.bind(('localhost', 0))
  port = free.getsockname()[1]
with stop_signals(lambda count: end_at_once('ended')):
  jax.distributed.initialize(f'localhost:{port}', 1, 0)
  if sys.argv[1] == 'again':
    listen_again()
  os.kill(os.getpid(), 15)
  time.sleep(5)
print('never heard')
"""


def waits_for(condition):
  give_up = time.monotonic() + 100
  while not condition() and time.monotonic() < give_up:
    time.sleep(0.005)
  return condition()


@pytest.mark.parametrize('number', SIGNALS)
def test_signals_are_counted_and_the_handlers_given_back(number):
  before = [signal.getsignal(each) for each in SIGNALS]
  counts = []
  with stop_signals(counts.append):
    for count in (1, 2):
      os.kill(os.getpid(), number)
      assert waits_for(lambda n=count: counts == list(range(1, n + 1)))
  assert [signal.getsignal(each) for each in SIGNALS] == before
  assert not listening()


def test_the_innermost_block_reacts():
  inner, outer = [], []
  with stop_signals(outer.append):
    with stop_signals(inner.append):
      os.kill(os.getpid(), signal.SIGTERM)
      assert waits_for(lambda: inner == [1])
    os.kill(os.getpid(), signal.SIGTERM)
    assert waits_for(lambda: outer == [2])
  assert inner == [1]


def test_other_signals_count_for_nothing():
  counts, others = [], []
  before = signal.signal(signal.SIGUSR1, lambda *_: others.append(1))
  try:
    with stop_signals(counts.append):
      os.kill(os.getpid(), signal.SIGUSR1)
      os.kill(os.getpid(), signal.SIGINT)
      assert waits_for(lambda: counts == [1])
  finally:
    signal.signal(signal.SIGUSR1, before)
  assert others == [1]


def test_in_another_thread_nothing_changes():
  before = signal.getsignal(signal.SIGTERM)
  found = []

  def body():
    with stop_signals(print):
      found.append(signal.getsignal(signal.SIGTERM))

  thread = threading.Thread(target=body)
  thread.start()
  thread.join()
  assert found == [before]


def started(**options):
  """The program above, busy."""
  process = subprocess.Popen(
    [sys.executable, '-c', PROGRAM],
    env=os.environ | {'PYTHONPATH': FOLDER} | options.pop('env', {}),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    **options,
  )
  assert process.stdout.readline() == 'started\n'
  return process


def test_a_second_signal_ends_at_once_with_a_status_of_its_own():
  process = started()
  process.send_signal(signal.SIGINT)
  assert process.stdout.readline() == '1\n'
  process.send_signal(signal.SIGINT)
  out, err = process.communicate(timeout=100)
  assert out == '2\n'
  assert err == '\nended\n'
  assert process.returncode == 75


def test_at_the_end_of_its_parent_it_ends_at_once():
  end, ours = os.pipe()
  process = started(env={'ADRPO_JAX_LIFELINE': str(end)}, pass_fds=[end])
  os.close(end)
  os.close(ours)
  out, err = process.communicate(timeout=100)
  assert (out, err, process.returncode) == ('2\n', '\nended\n', 75)


@pytest.mark.parametrize('number', SIGNALS)
@pytest.mark.parametrize('module', ['adrpo_jax.main', 'adrpo_jax.compare'])
def test_a_command_ends_in_one_line_while_it_imports(module, number):
  process = subprocess.Popen(
    [sys.executable, '-X', 'importtime', '-m', module],
    env=small_run.process_environment(),
    stderr=subprocess.PIPE,
    text=True,
  )
  for line in process.stderr:
    if 'jax._src' in line:  # The first part of JAX has been imported.
      break
  process.send_signal(number)
  said = process.communicate(timeout=100)[1]
  assert process.returncode == 75
  assert said.splitlines()[-1] == ('Stopped. To go on, give the same command.')
  assert 'Traceback' not in said


def test_a_program_that_imports_the_package_keeps_its_signals():
  program = (
    'import signal; before = [signal.getsignal(n) for n in (2, 15)]\n'
    'import adrpo_jax\n'
    'assert before == [signal.getsignal(n) for n in (2, 15)]'
  )
  subprocess.run(
    [sys.executable, '-c', program],
    env=small_run.process_environment(),
    check=True,
  )


@pytest.mark.parametrize(
  ('how', 'status'), [('again', module.STOPPED), ('never', 0)]
)
def test_the_service_of_jax_takes_a_signal_until_it_is_taken_back(how, status):
  ended = subprocess.run(
    [sys.executable, '-c', JOINED, how],
    capture_output=True,
    text=True,
    env=small_run.process_environment(),
    timeout=100,
  )
  assert ended.returncode == status, ended.stderr
  assert ('never heard' in ended.stdout) == (how == 'never')
