"""Every block of code in the documentation runs, or says why it does not.

Python is executed, and so are commands, but for blocks with a comment before
them, `<!-- not run: the reason -->`. Every command is read: by its own parser
of flags, with the config file, the preset, each key and each value. A user's
own reward judges samples then, an own method weighs rewards, and an own world
judges its answers.
"""

import ast
import contextlib
import os
import pathlib
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from unittest import mock

from absl.testing import flagsaver
import jax
import jax.numpy as jnp
import numpy as np
from pages import PAGES, ROOT, SHOWN, blocks, inline_commands
import pytest
import small_run

from adrpo_jax import console, main
from adrpo_jax.builders.families import family_of
from adrpo_jax.builders.methods import make_method
from adrpo_jax.method.transforms import starting_weights, weigh
from adrpo_jax.rewards.image_table import REWARDS
from adrpo_jax.rewards.text.protocol import TextPrompt
from adrpo_jax.rewards.text_table import TEXT_REWARDS
from adrpo_jax.rewards.user_rewards import IMAGE_FORMS, TEXT_FORMS, user_rewards
from adrpo_jax.worlds import TEXT_WORLDS

BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON = [b for b in BLOCKS if b.kind == 'python' and not b.not_run]
HERE = [b for b in PYTHON if b.page.name != 'README.md']  # test_readme runs it
SHELL = [b for b in BLOCKS if b.kind in ('sh', 'console')]
OURS = frozenset(TEXT_WORLDS)
# Flags of `adrpo_jax.main` that other modules read too.
OF_MAIN = (
  *('config', 'workdir', 'answers', 'benchmark', 'items'),
  *('prompts_per_chip', 'eval_prompts_per_chip'),
)
FILE = re.compile(r'# (\w+\.py)\n')


@pytest.fixture(autouse=True)
def own_tables():
  """What an example adds to a table is gone afterwards."""
  tables = (REWARDS, TEXT_REWARDS, TEXT_WORLDS)
  with contextlib.ExitStack() as stack:
    for table in tables:
      stack.enter_context(mock.patch.dict(table))
    yield


def test_every_block_is_run_or_says_why_not():
  known = {'python', 'sh', 'console'} | SHOWN
  strange = [b.name for b in BLOCKS if b.kind not in known]
  assert not strange, 'Blocks of a kind that no test knows.'
  assert len(PYTHON) >= 12
  assert len(SHELL) >= 30


@pytest.mark.parametrize('block', HERE, ids=lambda b: b.name)
def test_python_runs(block, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  if file := FILE.match(block.text):
    (tmp_path / file[1]).write_text(block.text)
  with jax.numpy_rank_promotion('allow'):  # As in a reader's own program.
    exec(compile(block.text, block.name, 'exec'), {'__name__': block.name})


@pytest.mark.parametrize('block', SHELL, ids=lambda b: b.name)
def test_commands_are_understood(block, tmp_path, monkeypatch):
  _write_files(block.page, tmp_path)
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'configs').symlink_to(ROOT / 'configs')
  for command in _commands(block.text):
    _check(command)


@pytest.mark.slow
@pytest.mark.parametrize(
  'block', [b for b in SHELL if not b.not_run], ids=lambda b: b.name
)
def test_commands_run(block, tmp_path):
  (tmp_path / 'configs').symlink_to(ROOT / 'configs')
  python = pathlib.Path(sys.executable).parent
  environment = small_run.process_environment()
  subprocess.run(
    ['bash', '-euc', block.text],
    cwd=ROOT if 'launch/' in block.text else tmp_path,
    env=environment | {'PATH': f'{python}:{environment["PATH"]}'},
    check=True,
    stdout=subprocess.DEVNULL,
  )
  if 'adrpo_jax.main' in block.text:
    (report,) = tmp_path.glob('runs/*/report.html')
    assert report.stat().st_size > 10_000


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands_within_the_prose_are_understood(page, monkeypatch):
  monkeypatch.chdir(ROOT)
  for command in inline_commands(page):
    _check(command)


def test_a_wrong_key_preset_or_extra_is_found(monkeypatch):
  monkeypatch.chdir(ROOT)
  start = 'python -m adrpo_jax.main --config=configs/t2i.py'
  for command in (
    f'{start} --config.sampler.step=4',
    f'{start}:debugging',
    f'{start} --mode=play',
    "pip install -e '.[nothing]'",
    'launch/slowstart.sh',
    'python -m adrpo_jax.compare --config=configs/t2i.py --sed=3',
    'rm -rf /',
  ):
    with pytest.raises((main.InputError, AssertionError)):
      _check(command)


def _write_files(page, folder):
  """The files that the page shows: Python blocks that begin with a name."""
  for block in blocks(page):
    if block.kind == 'python' and (file := FILE.match(block.text)):
      (folder / file[1]).write_text(block.text)


def _commands(text):
  """Commands of a block, with continued lines joined."""
  lines = re.sub(r'\\\n\s*', ' ', text).splitlines()
  return [line.removeprefix('$ ') for line in lines if line.strip()]


def _check(command):
  """Asserts that a command names what there is."""
  words = shlex.split(command, comments=True)
  while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
    words.pop(0)
  match words:
    case []:
      pass
    case ['python', '-m', 'adrpo_jax.main', *flags]:
      _parse(flags)
    case ['adrpo-jax', name, '--help']:
      assert name in console.COMMANDS, name
    case ['adrpo-jax', name, *flags] if name in console.MODES:
      _parse(flags)
    case ['adrpo-jax', name, *flags] if name in console.COMMANDS:
      _parse(_known(flags, ROOT / 'adrpo_jax' / name / '__main__.py'))
    case ['python', '-m', 'adrpo_jax.rewards.server', *flags]:
      _known(flags, ROOT / 'adrpo_jax' / 'rewards' / 'server.py')
    case ['python', script, *_] if script.startswith('benchmarks/'):
      assert (ROOT / script).exists()
    case ['python', script, *flags] if os.path.exists(script):
      runpy.run_path(script)  # It adds rows to tables.
      _check_worlds(TEXT_WORLDS.keys() - OURS)
      _parse(flags)
    case ['python', '-m', module, *flags]:
      source = ROOT / module.replace('.', '/') / '__main__.py'
      _parse(_known(flags, source))
    case ['pip', 'install', *names]:
      _check_extras(names[-1])
    case [
      'launch/tpu_vm.sh' | 'launch/xpk.sh' | 'launch/gke.sh',
      *_,
    ] if '--dry-run' in words:
      environment = os.environ | {'PATH': os.environ['PATH']}
      subprocess.run(
        words, cwd=ROOT, env=environment, check=True, capture_output=True
      )
    case ['docker', 'build', '-f', file, '-t', _, '.']:
      assert (ROOT / file).exists(), file
    case ['docker', 'push', _] | ['export', 'PYTHONPATH=.']:
      pass
    case ['launch/quickstart.sh', *flags]:
      _parse(flags or ['--config=configs/t2i.py'])
    case [
      'tests/run' | 'docs/build' | 'benchmarks/tpu_compile.sh' as script,
      *_,
    ]:
      assert os.access(ROOT / script, os.X_OK), script
    case _:
      raise AssertionError(f'No test understands this command: {command}')


def _parse(flags):
  """Reads flags as the command line does: no unknown key, no wrong value.

  Methods and rewards of a file are loaded from it.
  """
  saved = flagsaver.save_flag_values()
  words = ['adrpo_jax.main', *flags]
  try:
    with mock.patch.object(sys, 'argv', words):  # ml_collections reads it.
      config = main.parse(words)
    family = family_of(config)
    if 'pretrain' in config:
      assert family.pretrain is not None
      return
    _check_method(make_method(config, family.methods))
    kind = TEXT_FORMS if family.modality == 'language' else IMAGE_FORMS
    for reward in user_rewards(config.reward.python, kind).values():
      _check_reward(reward.row.host(), kind)
  finally:
    flagsaver.restore_flag_values(saved)


def _check_method(method):
  """Asserts that a method weighs rewards."""
  rewards = jnp.array([[0.0, 1.0], [0.5, 0.25]])
  valid = jnp.ones_like(rewards, bool)
  state = method.weights.init(starting_weights(rewards, valid))
  weights, _ = weigh(method.weights, rewards, valid, state, step=0)
  assert jnp.isfinite(weights.policy).all()
  assert jnp.abs(weights.policy).max() > 0
  assert jnp.isfinite(weights.divergence).all()


def _check_reward(function, kind):
  """Asserts that a function on the host gives a number for each sample."""
  images = np.full((2, 8, 8, 3), 128, np.uint8)
  prompts = (TextPrompt('one'), TextPrompt('two', 'answer'))
  samples = {
    True: (('one', 'two'), images),
    False: (prompts, ('a please', 'answer')),
  }[kind is IMAGE_FORMS]
  scores = function(*samples)
  for values in scores.values() if isinstance(scores, dict) else [scores]:
    assert np.isfinite(np.asarray(values, float)).all()
    assert len(values) == 2


def _check_worlds(names):
  """Asserts that a world of texts holds its own answers for right ones."""
  assert names
  for world in (TEXT_WORLDS[name] for name in names):
    train, held_out = (dict(world.prompts(s)) for s in ('train', 'held_out'))
    assert not train.keys() & held_out.keys()
    assert len(held_out) > 100
    for text in list(held_out)[:20]:
      answer = world.answer(text)
      assert world.judge(text, answer)['success'] == 1
      assert world.judge(text, f'{answer} 1')['success'] == 0
    assert {text for text, _ in world.pairs(20, 0)} <= train.keys()


def _known(flags, source):
  """Checks flags of a module of its own -> the other ones."""
  names = {
    node.args[0].value.lstrip('-')
    for node in ast.walk(ast.parse(source.read_text()))
    if isinstance(node, ast.Call)
    and re.search(r'DEFINE_|^add$', ast.unparse(node.func))
  }
  assert names, source
  theirs = []
  for flag in flags:
    name = flag.lstrip('-').partition('=')[0]
    if name not in names:
      assert name.partition('.')[0] in OF_MAIN, flag
      theirs.append(flag)
  return theirs


def _check_extras(target):
  """Asserts that '.[a,b]' or 'adrpo-jax[a]' names extras of pyproject.toml."""
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  name, _, rest = target.partition('[')
  assert name in ('.', project['name']), target
  for extra in filter(None, rest.rstrip(']').split(',')):
    assert extra in project['optional-dependencies'], target
