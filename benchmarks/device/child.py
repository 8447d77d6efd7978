"""A command with a time limit, and what it had printed by then."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from typing import Any, NamedTuple


class Outcome(NamedTuple):
  """What came of a command.

  seconds: how long it ran
  code:    its exit status; None where it was cut
  output:  lines of its standard output
  error:   the end of its standard error
  """

  seconds: float
  code: int | None
  output: list[str]
  error: str

  @property
  def result(self) -> dict[str, Any]:
    """The last line that is a JSON object, {} without one.

    Other lines, such as the dict that a trainer prints, are passed over.
    """
    for line in reversed(self.output):
      with contextlib.suppress(json.JSONDecodeError):
        value = json.loads(line)
        if isinstance(value, dict):
          return value
    return {}

  @property
  def trouble(self) -> str | None:
    """Why the command did not come to its end, None if it did."""
    if self.code is None:
      return f'cut after {self.seconds:.0f} s'
    if self.code:
      return f'exit status {self.code}: {self.error}'
    return None


def run(command: list[str], limit: float, **environment: str) -> Outcome:
  """Runs a command for at most `limit` seconds; then it is killed."""
  since = time.monotonic()
  with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
    child = subprocess.Popen(
      command,
      stdout=out,
      stderr=err,
      env={**os.environ, **environment},
      start_new_session=True,
    )
    try:
      code = child.wait(max(limit, 0))
    except subprocess.TimeoutExpired:
      os.killpg(child.pid, signal.SIGKILL)  # With what it started itself.
      child.wait()
      code = None
    texts = []
    for file in (out, err):
      file.seek(0)
      texts.append(file.read())
  seconds = time.monotonic() - since
  return Outcome(
    round(seconds, 1), code, texts[0].splitlines(), texts[1].strip()[-1500:]
  )
