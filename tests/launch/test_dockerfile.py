"""launch/Dockerfile: what it copies, in which order, and how it starts."""

import fnmatch
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FILE = ROOT / 'launch' / 'Dockerfile'


def instructions():
  """(name, arguments) of each instruction, with continued lines joined."""
  text = re.sub(r'^#.*\n', '', FILE.read_text(), flags=re.MULTILINE)
  lines = re.sub(r'\\\n\s*', '', text).splitlines()
  return [tuple(line.split(maxsplit=1)) for line in lines if line]


def arguments(name):
  return [text for word, text in instructions() if word == name]


def test_the_base_is_one_version_of_a_python_that_we_support():
  (base,) = arguments('FROM')
  matched = re.fullmatch(r'python:(3\.\d+)\.\d+-slim-\w+', base)
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  assert (
    f'Programming Language :: Python :: {matched[1]}'
    in (project['classifiers'])
  )
  (extras,) = arguments('ARG')
  assert extras == 'EXTRAS=tpu'
  assert 'tpu' in project['optional-dependencies']


def test_a_change_of_the_sources_keeps_the_layer_of_what_is_installed():
  names = [name for name, _ in instructions()]
  assert names == [
    *('FROM', 'ENV', 'WORKDIR', 'ARG', 'COPY', 'RUN', 'COPY', 'COPY'),
    'ENTRYPOINT',
  ]
  first, *sources = arguments('COPY')
  assert sources == ['configs configs', 'adrpo_jax adrpo_jax']
  assert not {'adrpo_jax', 'configs'} & {*first.split()}


def test_the_build_gets_what_it_copies_and_no_more():
  lines = (ROOT / '.dockerignore').read_text().splitlines()
  everything, *rules = [line for line in lines if line[:1] not in ('', '#')]
  assert everything == '*'
  sent = {rule[1:] for rule in rules if rule[0] == '!'}
  copied = {name for text in arguments('COPY') for name in text.split()[:-1]}
  assert copied == sent
  assert all((ROOT / name).exists() for name in sent)
  left_out = [rule.removeprefix('**/') for rule in rules if rule[0] != '!']
  for name in ('__pycache__', 'adrpo_jax.egg-info'):
    assert any(fnmatch.fnmatch(name, rule) for rule in left_out)


def test_a_signal_reaches_python_itself():
  (start,) = arguments('ENTRYPOINT')
  assert json.loads(start) == ['python', '-m', 'adrpo_jax.main']


def test_hadolint_finds_nothing():
  folder = pathlib.Path(sys.executable).parent
  if not (hadolint := shutil.which('hadolint', path=folder)):
    pytest.skip('hadolint is not installed: the dev extra has it for Linux.')
  done = subprocess.run([hadolint, FILE], capture_output=True, text=True)
  assert (done.stdout, done.returncode) == ('', 0)
