"""Printing to what cannot be printed to."""

import io
import os
import pathlib
import subprocess
import sys

import pytest

from adrpo_jax.system import steady_output as module
from adrpo_jax.system.steady_output import steady_output

FOLDER = str(pathlib.Path(module.__file__).parent)
PROGRAM = """
import sys
from steady_output import steady_output  # the file alone, without JAX
with steady_output():
  for _ in range(3000):
    print('0.277 → 0.546', 'x' * 30)
  sys.stdout.flush()
  print(sys.stderr.isatty(), file=sys.stderr, flush=True)
sys.exit(7)
"""


def ended(shell):
  """Exit status and stderr of the program above behind a shell's plumbing."""
  done = subprocess.run(
    ['bash', '-c', shell, sys.executable, PROGRAM],
    env=os.environ | {'PYTHONPATH': FOLDER, 'PYTHONUTF8': '0'},
    capture_output=True,
    text=True,
    check=False,
  )
  return done.returncode, done.stderr


@pytest.mark.parametrize(
  'shell',
  [
    '"$0" -c "$1" | head -1 >/dev/null; exit ${PIPESTATUS[0]}',
    'PYTHONIOENCODING=ascii "$0" -c "$1" >/dev/null',
    'PYTHONIOENCODING=cp1252 "$0" -c "$1" >/dev/null',
    '"$0" -c "$1" >&-',
    '"$0" -c "$1" >/dev/full',
    '"$0" -c "$1" >/dev/null 2>&-',
    '"$0" -c "$1" >&- 2>&-',
    '"$0" -c "$1" >/dev/full 2>/dev/full',
  ],
)
def test_the_program_goes_on_to_its_own_exit_status(shell):
  status, said = ended(shell)
  assert status == 7
  assert said in ('', 'False\n')


def test_what_a_console_cannot_show_is_a_question_mark(monkeypatch):
  raw = io.BytesIO()
  console = io.TextIOWrapper(raw, encoding='cp1252')
  monkeypatch.setattr(sys, 'stdout', console)
  with steady_output():
    print('β 0.277 → 0.546 ± 0.018', '\udcff')
  assert raw.getvalue().decode('cp1252') == '? 0.277 ? 0.546 ± 0.018 ?\n'
  assert sys.stdout is console


def test_a_stream_that_is_closed_in_between_is_left_alone(monkeypatch):
  console = io.StringIO()
  monkeypatch.setattr(sys, 'stdout', console)
  with steady_output():
    console.close()
    print('unheard')
    assert not sys.stdout.isatty()
