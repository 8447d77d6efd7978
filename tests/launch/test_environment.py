"""Which Python the scripts take: one that runs, whatever lies on the PATH."""

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / 'launch' / 'environment.sh'
BROKEN = 'exit 127'


@pytest.fixture
def machine(tmp_path):
  """Makes commands that say their version, or fail, and a home of pyenv."""

  def make(**commands: str) -> dict[str, str]:
    for name, answer in commands.items():
      file = tmp_path / 'bin' / name.replace('_', '.')
      file.parent.mkdir(exist_ok=True)
      file.write_text(f'#!/bin/sh\n{answer}\n')
      file.chmod(0o755)
    return {
      'PATH': f'{tmp_path / "bin"}:{os.defpath}',
      'PYENV_ROOT': str(tmp_path / 'pyenv'),
    }

  return make


def ask(environment: dict[str, str], command: str) -> str:
  answer = subprocess.run(
    ['bash', '-c', f'source {SCRIPT}; {command}'],
    env=environment,
    capture_output=True,
    text=True,
  )
  return answer.stdout.strip()


def test_the_newest_python_that_runs_is_taken(machine):
  works = machine(python3_13='exit 0', python3_12='exit 0', python3_11='exit 0')
  assert ask(works, 'newest_python') == 'python3.13'
  shims = machine(python3_13=BROKEN, python3_12=BROKEN)
  assert ask(shims, 'newest_python') == 'python3.11'


def test_a_python_is_found_on_the_path_or_in_the_folder_of_pyenv(
  machine, tmp_path
):
  environment = machine(python3_12=BROKEN, python3_13='echo 3.13')
  assert ask(environment, 'python_of 3.13') == 'python3.13'
  assert ask(environment, 'python_of 3.12 || echo none') == 'none'
  kept = tmp_path / 'pyenv' / 'versions' / '3.12.1' / 'bin' / 'python'
  kept.parent.mkdir(parents=True)
  kept.write_text('#!/bin/sh\necho 3.12\n')
  kept.chmod(0o755)
  assert ask(environment, 'python_of 3.12') == str(kept)
