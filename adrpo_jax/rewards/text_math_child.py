"""The process that judges for `text_math`: a program that imports no package.

  python text_math_child.py SECONDS

Says "ready", or what is wrong with math-verify. Then of every line with
[reference, answer] a line: 1.0, 0.0, or -1.0 where it has no judgement. All of
it is JSON. A judgement that computes longer than SECONDS ends the process:
its own time counts, so that a busy host changes no judgement.
"""

from collections.abc import Callable
import contextlib
import json
import logging
import signal
import sys

MEMORY = 4 * 2**30  # bytes that a judgement may need
DELIMITED = ('$', r'\boxed', r'\(', r'\[')


def main(seconds: float) -> None:
  """Answers until the standard input ends."""
  answers, sys.stdout = sys.stdout, sys.stderr  # A library may print.

  def say(what: object) -> None:
    print(json.dumps(what), file=answers, flush=True)

  logging.disable()
  try:
    match = loaded()
    works = match(r'\frac{1}{2}', 'It is 0.5.') == 1.0
  except Exception as error:  # Any: it is not our code, and is told.
    say(f'{type(error).__name__}: {error}')
    return
  if not works:
    say('it does not find 1/2 equal to 0.5')
    return
  limit_memory()
  say('ready')
  for line in sys.stdin:
    # The signal's usual effect is meant: the end, in the midst of C code too.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
      number = match(*json.loads(line))
    except Exception:  # Any: what breaks the judge has no judgement.
      number = -1.0
    signal.setitimer(signal.ITIMER_PROF, 0)
    say(number)


def loaded() -> Callable[[str, str], float]:
  """The judgement as a function of (reference, answer)."""
  import math_verify

  def match(known: str, text: str) -> float:
    bare = not any(mark in known for mark in DELIMITED)
    right = math_verify.parse(
      rf'\boxed{{{known}}}' if bare else known, parsing_timeout=None
    )
    if not right:
      return -1.0
    given = math_verify.parse(text, parsing_timeout=None)
    return float(math_verify.verify(right, given, timeout_seconds=None))

  return match


def limit_memory() -> None:
  """Makes MEMORY the most that this process gets, where systems know limits."""
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == '__main__':
  main(float(sys.argv[1]))
