"""The scripts of launch/, run as a user runs them."""

import pathlib
import shlex
import subprocess

LAUNCH = pathlib.Path(__file__).parents[2] / 'launch'


def script(name, *arguments, **options):
  """A finished call of launch/NAME, with its output."""
  return subprocess.run(
    ['/bin/bash', LAUNCH / name, *arguments],
    capture_output=True,
    text=True,
    check=False,
    **options,
  )


def commands(name, *arguments):
  """The commands that a dry run prints, as a shell reads them back."""
  done = script(name, *arguments)
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith('+ ')
  return [shlex.split(line) for line in done.stdout[2:].split('\n+ ')]


def make_program(folder, name, text):
  """Writes a program for the PATH, in FOLDER/bin."""
  program = folder / 'bin' / name
  program.parent.mkdir(exist_ok=True)
  program.write_text(text)
  program.chmod(0o755)
