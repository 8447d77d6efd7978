r"""Whether an answer is mathematically the reference, by math-verify.

SymPy may compute for hours, or fill the memory, on an answer of ten characters
(9^{9^{9^9}}), and no thread can stop it. So a judgement is made in a process of
its own, which ends itself when its time is over; the next one starts anew.
Several threads may ask, and each has a process to itself while it does.
"""

import contextlib
import json
import pathlib
import subprocess
import sys
from typing import Any

from adrpo_jax.errors import InputError
from adrpo_jax.rewards.text_protocol import TextReward

CHILD = pathlib.Path(__file__).with_name('text_math_child.py')


def math_match(*, seconds: float = 5.0) -> TextReward:
  r"""1 where math-verify finds the answer equal to the reference, else 0.

  Formulas, numbers, sets, intervals and tuples, in LaTeX between dollars or in
  \boxed{}, which goes first, or in plain text: '0.5' is '\frac{1}{2}'. The
  reference may be a bare formula. An answer without any formula earns 0. There
  is no number where the reference is not known or has no formula, and where a
  judgement takes too long or breaks the judge.

  `math-verify <https://github.com/huggingface/Math-Verify>`_, Hugging Face.

  Args:
    seconds: of computing that a judgement may take; waiting does not count.

  Raises:
    InputError: math-verify is not installed or does not work.
  """
  if not 0 < seconds < float('inf'):
    raise InputError(f'Expected a number of seconds above 0, got {seconds}.')
  idle = [_child(seconds)]

  def reward(prompt: str, text: str, known: str | None) -> float | None:
    del prompt
    if known is None:
      return None
    try:
      child = idle.pop()
    except IndexError:  # Other threads have them all.
      child = _child(seconds)
    number = _asked(child, known, text)
    if child.poll() is None:
      idle.append(child)
    return number

  return reward


def _child(seconds: float) -> subprocess.Popen:
  """A process that has loaded math-verify and waits for questions.

  It ends with its standard input, and so with this process.
  """
  child = subprocess.Popen(
    [sys.executable, '-P', str(CHILD), str(seconds)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
  )
  says = _line(child)
  if says != 'ready':
    _end(child)
    raise InputError(
      "Expected math-verify, which the reward 'math_match' needs; here it does "
      f"not work: {says}. Install the extra: pip install 'adrpo-jax[math]'."
    )
  return child


def _asked(child: subprocess.Popen, known: str, text: str) -> float | None:
  """1 or 0; None without a judgement, and the process ended if it had to."""
  assert child.stdin
  with contextlib.suppress(OSError):  # One that is gone has nothing to say.
    child.stdin.write(json.dumps([known, text]).encode() + b'\n')
    child.stdin.flush()
  says = _line(child)
  if says is None:
    _end(child)
  return says if says in (0.0, 1.0) else None


def _line(child: subprocess.Popen) -> Any:
  """The next line that the process writes, read as JSON; None at its end."""
  assert child.stdout
  line = child.stdout.readline()
  return json.loads(line) if line.endswith(b'\n') else None


def _end(child: subprocess.Popen) -> None:
  child.kill()
  with contextlib.suppress(OSError):  # What it was told last is not wanted.
    child.communicate()
