"""A scratch file with a world, a reward and a method, through whole runs.

Nothing of the package names them: a run takes the reward and the method from
its config, and the world is one row more of a table.
"""

import json
import sys
import types

from absl.testing import flagsaver
import numpy as np
import pytest
import small_run

from adrpo_jax import commands
from adrpo_jax.compare import __main__ as compare
from adrpo_jax.compare.child_runs import ChildRuns
from adrpo_jax.compare.report import write_comparison
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.evaluate import Evaluation
from adrpo_jax.system.user_code import Call, load
from adrpo_jax.worlds import TEXT_WORLDS

SCRATCH = '''
from adrpo_jax.method.language_methods import LANGUAGE_METHODS
from adrpo_jax.method.methods import METHODS
from adrpo_jax.worlds import TextWorld, sort_tokenizer


def digits_of(text):
  return text[len('reverse: ') : -len(' =')].split()


def prompts(split):
  start = 0 if split == 'train' else 5
  return tuple(
    (f'reverse: {a} {b} {a} =', 'even' if b % 2 == 0 else 'odd')
    for a in range(start, start + 5)
    for b in range(10)
  )


def answer(text):
  if not text.startswith('reverse: '):
    raise ValueError(f'Expected reverse: ..., got {text!r}.')
  return ' '.join(reversed(digits_of(text)))


def judge(text, given):
  right = float(given == answer(text))
  return {'reward': right, 'success': right}


REVERSE = TextWorld(
  prompts=prompts,
  answer=answer,
  judge=judge,
  pairs=lambda count, seed: [(t, answer(t)) for t, _ in prompts('train')],
  tokenizer=sort_tokenizer.write_tokenizer,
)


def brevity(prompts, answers, *, length=10):
  """Shorter is better; a digit of the prompt is worth more."""
  assert all(p.reference == answer(p.text) for p in prompts)
  return {
    'reward': [
      1 - len(a) / length + sum(d in a for d in digits_of(p.text))
      for p, a in zip(prompts, answers)
    ],
    'letters': [len(a) for a in answers],
  }


brevity.measures = ('letters',)


def redness(texts, images, *, of=1.0):
  if (images[..., 0] > 200).all():
    raise RuntimeError('too red')
  return images[..., 0].mean((1, 2)) / 255 / of


def gentle(*, beta=0.2):
  """GRPO with a strong pull to the reference."""
  return LANGUAGE_METHODS.make_method('grpo', beta=beta)


def steady(*, beta=0.4):
  made = METHODS.make_method('fixed_w2', beta=beta)
  return made._replace(title='Steady pull')


def no_method():
  return 'adrpo'


def raising():
  raise KeyError('beta')
'''


@pytest.fixture(scope='module')
def scratch(tmp_path_factory):
  path = tmp_path_factory.mktemp('scratch') / 'scratch.py'
  path.write_text(SCRATCH)
  return path


@pytest.fixture(scope='module')
def compared(scratch, tmp_path_factory):
  """The folder of a comparison of one's own method with one of ours."""
  workdir = tmp_path_factory.mktemp('compared')
  changes = {
    'steps': 1,
    'world': 'reverse',
    'model.path': small_run.ROOT / 'adrpo_jax' / 'worlds' / 'sort_base',
    'prompts.prompts_per_step': 4,
    'eval.num_prompts': 8,
    'reward.weights.sort': 0.0,
    'reward.python': f'{scratch}:brevity(weight=2, length=5)',
    'method.python': f'{scratch}:gentle(beta=0.3)',
  }
  words = ['compare', f'--config={small_run.ROOT}/configs/llm.py:debug']
  words += [f'--config.{key}={value}' for key, value in changes.items()]
  words += ['--methods=gentle,adrpo', '--seeds=1', f'--workdir={workdir}']

  load(Call(str(scratch), 'brevity', {}), 'reward.python')
  world = sys.modules['adrpo_jax_user_scratch'].REVERSE
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(TEXT_WORLDS, 'reverse', world)  # one row
    for command in commands_of(words):
      status, _, err = small_run.call(*command)
      assert status == 0, err
    write_comparison(workdir)
  return workdir


def commands_of(words):
  """The arguments of the runs that a comparison starts."""
  commands = []

  def run(runs, arguments):
    commands.append(list(arguments))
    return 0

  saved = flagsaver.save_flag_values()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(ChildRuns, 'run', run)
    patch.setattr(sys, 'argv', words)  # where config flags look
    try:
      assert compare.main(words) == 0
    finally:
      flagsaver.restore_flag_values(saved)
  return commands


@pytest.mark.slow
def test_own_code_is_trained_with(compared):
  for name in ('gentle', 'adrpo'):
    folder = compared / name / 'seed_0'
    summary = json.loads((folder / 'summary.json').read_text())
    assert summary['method'] == name
    assert np.isfinite(summary['final']['reward'])
    assert set(summary['final']['by_category']) == {'even', 'odd'}
    (line,) = small_run.records(folder / 'metrics.jsonl')
    assert line['letters'] >= 0
    assert np.isfinite(line['loss'])
    assert line['valid'] == 1
    kept = json.loads((folder / 'config.json').read_text())['config']
    assert kept['method']['name'] == name
  (line,) = small_run.records(compared / 'gentle/seed_0/metrics.jsonl')
  assert line['beta_mean'] == pytest.approx(0.3)


@pytest.mark.slow
def test_own_code_is_reported(compared):
  page = (compared / 'gentle' / 'seed_0' / 'report.html').read_text()
  assert 'gentle' in page
  assert 'reverse: ' in page


@pytest.mark.slow
def test_own_method_is_compared(compared):
  table = (compared / 'comparison.md').read_text()
  assert '| gentle |' in table
  assert '| ADRPO |' in table


@pytest.mark.slow
def test_own_reward_and_method_of_images(scratch, tmp_path):
  flags = small_run.arguments(
    steps=1,
    reward__python=f'{scratch}:redness(weight=0.5, of=2)',
    reward__weights__shapes=1.0,
    method__python=f'{scratch}:steady(beta=0.7)',
  )
  status, out, err = small_run.call(*flags, f'--workdir={tmp_path}')
  assert status == 0, err
  assert 'steady on ' in out
  page = (tmp_path / 'report.html').read_text()
  assert 'Steady pull' in page
  (line,) = small_run.records(tmp_path / 'metrics.jsonl')
  assert line['beta_mean'] == pytest.approx(0.7)
  total = line['shapes/reward'] + 0.5 * line['redness/reward']
  assert line['reward'] == pytest.approx(total, rel=1e-5)
  assert 0 < line['redness/reward'] < 0.5


@pytest.mark.parametrize(
  ('key', 'value', 'said'),
  [
    ('reward', 'brevity', '(texts, images, ...) or (text, image, ...)'),
    ('reward', 'redness(off=2)', "unexpected keyword argument 'off'"),
    ('reward', 'rednes', "Did you mean 'redness'?"),
    ('method', 'no_method', 'to return an adrpo_jax.method.Method, got str'),
    ('method', 'raising', "raises KeyError: 'beta'"),
    ('method', 'steady(gamma=1)', "unexpected keyword argument 'gamma'"),
    ('method', 'judge', 'Every parameter needs a default or a value'),
  ],
)
def test_own_code_that_does_not_fit_is_refused_at_start(
  scratch, tmp_path, key, value, said
):
  """Before the base is read: it is not there."""
  message = small_run.refused(
    tmp_path / 'run',
    model__path='/nowhere',
    **{f'{key}__python': f'{scratch}:{value}'},
  )
  assert said in message
  assert not (tmp_path / 'run').exists()


def test_one_of_several_own_methods_is_to_be_named(scratch, tmp_path):
  value = f'{scratch}:steady,{scratch}:no_method'
  said = small_run.refused(tmp_path / 'run', method__python=value)
  assert '--config.method.name=NAME' in said
  assert 'steady, no_method' in said


@pytest.mark.parametrize(
  ('python', 'evaluations'), [('', 1), ('scratch.py:redness', 2)]
)
def test_a_base_is_judged_anew_by_own_code(
  tmp_path, monkeypatch, python, evaluations
):
  """The file may have changed since the figures were cached."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  run, judged = judged_run()
  config = small_run.make_config(reward__python=python)
  for _ in range(2):
    figures = commands._base_evaluation(config, run).figures
    assert figures == {'reward': 0.5}
  assert len(judged) == evaluations


def judged_run():
  """What `_base_evaluation` reads of a run, and a list that counts."""
  judged = []

  def evaluate(params, frozen):
    judged.append(params)
    return Evaluation(
      {'reward': 0.5}, {'rewards': np.full((1, 2), 0.5)}, np.full(1, 0.5)
    )

  run = types.SimpleNamespace(
    evaluate=evaluate,
    frozen={'reference': 0},
    identity='base',
    held_out=PromptSet(('a red circle',), ('single',)),
  )
  return run, judged


@pytest.mark.parametrize('place', [0, 100, -200, -1])
def test_a_damaged_evaluation_of_the_base_is_made_again(
  tmp_path, monkeypatch, place
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  run, judged = judged_run()
  config = small_run.make_config()
  commands._base_evaluation(config, run)
  (path,) = (tmp_path / 'adrpo_jax').glob('base_*.npz')
  whole = path.read_bytes()
  changed = bytearray(whole)
  changed[place] ^= 4
  for count, damaged in enumerate((whole[:place], bytes(changed), b''), 2):
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match='made again'):
      evaluation = commands._base_evaluation(config, run)
    assert evaluation.figures == {'reward': 0.5}
    assert len(judged) == count
  assert path.read_bytes()[32:] == whole[32:]
  commands._base_evaluation(config, run)
  assert len(judged) == 4


def test_no_cache_of_the_base_is_no_reason_to_stop(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.setattr(
    commands.cache_files, 'cache_folder', lambda: tmp_path / 'file'
  )
  (tmp_path / 'file').write_text('in the way')
  run, judged = judged_run()
  with pytest.warns(UserWarning, match='Nothing can be kept'):
    commands._base_evaluation(small_run.make_config(), run)
  assert judged == [0]
