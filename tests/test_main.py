"""The command line: what it makes, and what it says to bad input."""

import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import jax
import numpy as np
from PIL import Image
import pytest
import small_run

from adrpo_jax import build, kept_samples, main
from adrpo_jax.errors import InputError
from adrpo_jax.method import methods
from adrpo_jax.method.methods import METHODS, parameters
from adrpo_jax.modalities.flow import pixel_diversity
from adrpo_jax.models import base as base_models
from adrpo_jax.models import load as weights
from adrpo_jax.naming import leaf_names
from adrpo_jax.rewards.table import REWARDS, make_reward
from adrpo_jax.worlds import shapes_prompts

TRANSFORMER = 'transformer.safetensors'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A finished run of two steps, and what it printed."""
  workdir = tmp_path_factory.mktemp('trained') / 'run'
  flags = small_run.arguments(steps=2)
  status, out, err = small_run.call(*flags, f'--workdir={workdir}')
  assert status == 0, err
  return workdir, out


def refused(workdir, *extra, devices=1, **changes):
  """What the command line says to bad input: an error, no traceback."""
  flags = [*small_run.arguments(**changes), *extra, f'--workdir={workdir}']
  status, out, err = small_run.call(*flags, devices=devices)
  assert status == 2
  assert any(line.startswith('error: ') for line in err.splitlines())
  assert 'Traceback' not in out + err
  return err


def test_a_run_leaves_all_its_files(trained):
  workdir, out = trained
  files = {str(p.relative_to(workdir)) for p in workdir.rglob('*')}
  assert files >= {
    *('config.json', 'metrics.jsonl', 'evaluations.jsonl', 'summary.json'),
    *('samples/base.npz', 'samples/final.npz', 'report.html'),
    *('checkpoints/00000001', 'checkpoints/00000002'),
  }
  summary = json.loads((workdir / 'summary.json').read_text())
  assert summary['method'] == 'adrpo'
  assert summary['steps'] == 2
  assert 0 <= summary['final']['success'] <= 1
  assert summary['base']['divergence'] == 0
  assert summary['final']['divergence'] > 0
  assert summary['final']['samples'] == 16
  assert 'success' in out
  assert str(workdir / 'report.html') in out


def test_metrics_and_evaluations_have_a_line_for_each_step(trained):
  workdir, _ = trained
  lines = small_run.records(workdir / 'metrics.jsonl')
  assert [line['step'] for line in lines] == [0, 1]
  assert all(line['loss'] is not None for line in lines)
  evaluations = small_run.records(workdir / 'evaluations.jsonl')
  assert [line['step'] for line in evaluations] == [0, 2]


def test_base_and_final_samples_are_of_the_same_prompts(trained):
  workdir, _ = trained
  base, final = (
    np.load(workdir / 'samples' / f'{name}.npz') for name in ('base', 'final')
  )
  np.testing.assert_array_equal(base['prompts'], final['prompts'])
  assert base['images'].shape == (8, 2, 32, 32, 3)
  assert base['verdicts'].shape == (8, 2)


def test_a_finished_workdir_prints_its_summary(trained):
  workdir, _ = trained
  before = (workdir / 'metrics.jsonl').read_bytes()
  flags = small_run.arguments(steps=2)
  status, out, _ = small_run.call(*flags, f'--workdir={workdir}')
  assert status == 0
  assert 'is finished' in out
  assert '"final"' in out
  assert (workdir / 'metrics.jsonl').read_bytes() == before


def test_another_config_is_refused_and_the_keys_named(trained):
  workdir, _ = trained
  said = refused(workdir, steps=2, seed=3, training__learning_rate=0.5)
  assert 'seed: 0 there, 3 asked for' in said
  assert 'training.learning_rate' in said
  assert 'prompts' not in said


def test_eval_prints_the_figures_of_the_newest_checkpoint(trained):
  workdir, _ = trained
  flags = [*small_run.arguments(steps=2), f'--workdir={workdir}']
  status, out, _ = small_run.call(*flags, '--mode=eval')
  assert status == 0
  summary = json.loads((workdir / 'summary.json').read_text())
  figures = json.loads(out[out.index('{') :])
  assert figures == summary['final']


def test_sample_draws_pictures_of_the_trained_policy(trained, tmp_path):
  workdir, _ = trained
  flags = [*small_run.arguments(steps=2), '--mode=sample', '--count=3']
  flags += ['--prompt=a red circle', '--prompt=a blue square']
  drawn = []
  for folder in (workdir, tmp_path / 'none'):
    status, out, err = small_run.call(*flags, f'--workdir={folder}')
    assert status == 0, err
    assert '6 pictures' in out
    files = sorted((folder / 'drawn').glob('*.png'))
    assert [f.name for f in files] == [
      f'0000{p}_{i:02d}_a_{what}.png'
      for p, what in enumerate(('red_circle', 'blue_square'))
      for i in range(3)
    ]
    drawn.append(np.stack([np.asarray(Image.open(f)) for f in files]))
  assert drawn[0].shape == (6, 256, 256, 3)
  assert (drawn[0] != drawn[1]).any()  # the policy has left the base


def test_drawn_pictures_are_judged_as_they_lie(trained, tmp_path):
  """The same figures from enlarged files as from the pictures in memory."""
  workdir, _ = trained
  kept = kept_samples.read(workdir / 'samples' / 'final.npz')
  folder = tmp_path / 'pictures'
  folder.mkdir()
  for p, row in enumerate(kept.images):
    for g, image in enumerate(row):
      large = Image.fromarray(image).resize(
        (256, 256), Image.Resampling.NEAREST
      )
      large.save(folder / f'{p:05d}_{g:02d}.png')
  (folder / 'prompts.txt').write_text('\n'.join(kept.prompts))
  flags = [*small_run.arguments(), '--mode=eval', f'--workdir={tmp_path}/out']
  flags += [f'--images={folder}', f'--prompts={folder}/prompts.txt']
  status, out, err = small_run.call(*flags)
  assert status == 0, err
  assert 'shapes/success' in out
  scores = json.loads((tmp_path / 'out' / 'scores.json').read_text())
  assert (scores['prompts'], scores['samples']) == kept.rewards.shape[:1] + (
    kept.rewards.size,
  )
  texts = tuple(kept.prompts)
  told = {'ids': np.arange(len(texts)), 'facts': shapes_prompts.facts(texts)}
  judged = make_reward({'shapes': 1.0}, texts)(told, kept.images)
  for name in ('held', 'success', 'fidelity'):
    figure = scores['figures'][f'shapes/{name}']
    expected = float(judged.measures[name].mean())
    assert figure['mean'] == pytest.approx(expected, abs=1e-6)
  pixel = float(pixel_diversity(kept.images / np.float32(255)).mean())
  figure = scores['figures']['diversity_pixel']
  assert figure['mean'] == pytest.approx(pixel, rel=1e-4)


@pytest.mark.parametrize(
  ('flags', 'said'),
  [
    (['--images=x'], '--images=DIR and --prompts=FILE with --mode=eval'),
    (['--prompts=x', '--mode=eval'], 'got --mode=eval --images= --prompts=x'),
    (['--mode=eval', '--images=x', '--prompts=y.txt'], 'y.txt'),
  ],
)
def test_what_judging_pictures_wants(tmp_path, flags, said):
  assert said in refused(tmp_path, *flags)


def test_pictures_of_another_size_are_refused(tmp_path):
  Image.new('RGB', (48, 48)).save(tmp_path / '0_0.png')
  (tmp_path / 'prompts.txt').write_text('a red circle')
  given = [f'--images={tmp_path}', f'--prompts={tmp_path}/prompts.txt']
  assert 'got 48 × 48' in refused(tmp_path, '--mode=eval', *given)


def test_help_lists_modes_flags_methods_and_rewards():
  status, out, _ = small_run.call('--help')
  assert status == 0
  for name in (*main.MODES, '--workdir', *METHODS, *REWARDS):
    assert name in out


def test_a_mistyped_key_without_a_config_is_named_too():
  """As a process: what flags read at import is not read again here."""
  done = subprocess.run(
    [sys.executable, '-m', 'adrpo_jax.main', '--config.stesp=3'],
    cwd=small_run.ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2
  assert "Unknown config key 'stesp'. Did you mean 'steps'?" in done.stderr
  assert 'Traceback' not in done.stderr


def test_sample_takes_any_count_on_any_number_of_devices(tmp_path):
  flags = [*small_run.arguments(), '--mode=sample', '--count=1']
  flags += ['--prompt=a red circle', f'--workdir={tmp_path}']
  status, _, err = small_run.call(*flags, devices=8)
  assert status == 0, err
  assert len(list((tmp_path / 'drawn').glob('*.png'))) == 1


def test_sample_names_the_nearest_known_word(tmp_path):
  said = refused(tmp_path, '--mode=sample', '--prompt=a red circel')
  assert "'circel'" in said
  assert "Did you mean 'circle'?" in said


def test_sample_wants_a_prompt(tmp_path):
  assert '--prompt=' in refused(tmp_path, '--mode=sample')


@pytest.mark.parametrize(
  ('flag', 'wrong', 'nearest'),
  [
    ('--config.stesp=3', "'stesp'", "'steps'"),
    ('--config.training.lerning_rate=1', "'training.lerning_rate'", "'trainin"),
    ('--config.method.adrpo.beta=1', "'method.adrpo.beta'", 'adrpo.beta0'),
    ('--config.reward.weights.shaeps=1', 'shaeps', "'reward.weights.shapes'"),
    ('--config.method.name=adpro', "'adpro'", "'adrpo'"),
    ('--config.sampler.transition=eular', "'eular'", "'euler'"),
    ('--config.training.sigma=unifrom', "'unifrom'", "'uniform'"),
    ('--config.world=shape', "'shape'", "'shapes'"),
    ('--mode=trian', 'trian', 'train'),
    ('--config.steps=many', 'many', 'steps'),
  ],
)
def test_a_mistyped_word_is_named_with_the_nearest(
  tmp_path, flag, wrong, nearest
):
  said = refused(tmp_path / 'run', flag)
  assert wrong in said
  assert nearest in said
  assert not (tmp_path / 'run').exists()  # free for the command put right


def test_a_mistyped_preset_is_named_with_the_nearest():
  said = refused('unused', preset='debgu')
  assert "'debgu'" in said
  assert "Did you mean 'debug'?" in said


@pytest.mark.parametrize('name', METHODS)
def test_the_paper_preset_holds_what_is_published(name):
  config = small_run.make_config('paper', method__name=name)
  for key, value in parameters(name, 'paper').items():
    assert config.method[name][key] == value


def test_a_mistyped_flag_is_named(tmp_path):
  assert 'wrokdir' in refused(tmp_path, '--wrokdir=x')


def test_a_mistyped_reward_is_named_with_the_nearest():
  config = small_run.make_config()
  with config.unlocked():
    config.reward.weights = {'shpes': 1.0}
  with pytest.raises(InputError, match="Did you mean 'shapes'"):
    build.make_reward(config.reward, ['a red circle'])


@pytest.mark.parametrize(
  'given', [{}, {'NUM_PROCESSES': 2, 'PROCESS_ID': 'one'}]
)
def test_a_process_has_to_know_its_number(tmp_path, monkeypatch, given):
  monkeypatch.setenv('JAX_COORDINATOR_ADDRESS', 'localhost:1')
  for name, value in given.items():
    monkeypatch.setenv(f'JAX_{name}', str(value))
  said = refused(tmp_path)
  assert 'JAX_NUM_PROCESSES and a smaller JAX_PROCESS_ID' in said


def test_several_processes_have_to_be_given_a_workdir(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  status, _, err = small_run.call(*small_run.arguments())
  assert status == 2
  assert '--workdir=DIR, a folder that all 2 processes see' in err


@pytest.mark.parametrize('pod', [True, False])
def test_a_host_with_tpus_joins_its_pod_if_it_is_of_one(monkeypatch, pod):
  def initialize():
    joined.append(pod)
    if not pod:
      raise ValueError('coordinator_address should be defined.')

  joined = []
  monkeypatch.delenv('JAX_COORDINATOR_ADDRESS', raising=False)
  monkeypatch.setattr(jax.distributed, 'initialize', initialize)
  main._start_jax()
  assert joined == []
  before = jax.config.jax_platforms
  jax.config.update('jax_platforms', 'tpu,cpu')
  try:
    main._start_jax()
  finally:
    jax.config.update('jax_platforms', before)
  assert joined == [pod]


def test_one_sample_is_no_group(tmp_path):
  said = refused(tmp_path, prompts__samples=1)
  assert 'at least 2, got 1' in said
  assert 'prompts.samples' in said


@pytest.mark.parametrize(
  ('key', 'changes'),
  [
    ('prompts.per_step', {'prompts__per_step': 6}),
    ('eval.batch', {'eval__prompts': 12, 'eval__batch': 4}),
    ('training.microbatches', {'training__microbatches': 3}),
  ],
)
def test_a_batch_has_to_divide_over_the_mesh(tmp_path, key, changes):
  said = refused(tmp_path, devices=8, **changes)
  assert key in said
  assert '8' in said


def test_evaluation_batches_have_to_divide_the_prompts(tmp_path):
  assert 'eval.batch' in refused(tmp_path, eval__prompts=12)


def test_a_mesh_has_to_fit_the_devices(tmp_path):
  assert 'mesh' in refused(tmp_path, devices=8, mesh__fsdp=3)


@pytest.mark.parametrize(
  ('key', 'value'), [('ema', 1.0), ('ema', -0.1), ('extrapolation', 0.0)]
)
def test_weights_that_cannot_be_averaged(tmp_path, key, value):
  said = refused(tmp_path, **{f'training__{key}': value})
  assert f'training.{key}' in said
  assert str(value) in said


@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    ({'sampler__eta': 0.0}, 'eta > 0'),
    ({'sampler__trained_steps': 3}, 'trained_steps'),
    ({'training__draws': 0}, 'draws=0'),
  ],
)
def test_a_sampler_that_cannot_be_trained_on(tmp_path, changes, expected):
  assert expected in refused(tmp_path, method__name='flow_grpo', **changes)


def test_a_clip_above_beta0_warns_with_the_reason():
  config = small_run.make_config(
    method__adrpo__clip_ratio=1.2, method__adrpo__allow_unstable=False
  )
  with pytest.warns(UserWarning, match='no stable fixed point'):
    build.make_method(config.method, methods.TABLE)


@pytest.mark.parametrize('mode', ['train', 'sample', 'pretrain'])
def test_a_file_in_the_way_of_the_workdir(tmp_path, mode):
  (tmp_path / 'file').write_text('here first')
  flags = [f'--mode={mode}', '--prompt=a red circle']
  said = refused(tmp_path / 'file' / 'run', *flags)
  assert 'workdir' in said
  assert str(tmp_path / 'file') in said


@pytest.mark.parametrize(
  ('name', 'content', 'named'),
  [
    ('empty.txt', '', ['empty.txt', 'at least one prompt']),
    ('gap.txt', 'a red circle\n\na blue square\n', ['line 2', 'empty']),
    ('word.txt', 'a red circle\na red dragon\n', ['line 2', "'dragon'"]),
    ('grammar.txt', 'a red circle\nred a circle\n', ['line 2', 'Expected']),
    ('torn.jsonl', '{"prompt": "a red circle"}\n{"pro\n', ['line 2', 'JSON']),
    ('key.jsonl', '{"words": "a red circle"}\n', ['line 1', "'words'"]),
    ('none.md', 'a red circle\n', ['none.md', '.txt, .jsonl, .csv']),
  ],
)
def test_a_bad_prompt_file_is_named_with_its_line(
  tmp_path, name, content, named
):
  path = tmp_path / name
  path.write_text(content)
  said = refused(tmp_path / 'run', prompts__source=path)
  assert all(word in said for word in [*named, name]), said


def test_a_missing_prompt_file(tmp_path):
  said = refused(tmp_path / 'run', prompts__source=tmp_path / 'nowhere.txt')
  assert 'nowhere.txt' in said


@pytest.fixture
def base_copy(tmp_path):
  return pathlib.Path(
    shutil.copytree(small_run.base_folder(), tmp_path / 'base')
  )


@pytest.mark.parametrize('fault', ['missing', 'extra', 'misshapen'])
def test_weights_that_do_not_fit_are_named(tmp_path, base_copy, fault):
  stored = leaf_names(base_models.load(base_copy).params['transformer'])
  name = 'params/proj_out/dense/bias'
  if fault == 'missing':
    del stored[name]
  elif fault == 'extra':
    name = 'params/proj_out/dense/more'
    stored[name] = np.zeros(3, np.float32)
  else:
    stored[name] = np.zeros(3, np.float32)
  weights.save_tree(base_copy / TRANSFORMER, nested(stored))
  said = refused(tmp_path / 'run', model__path=base_copy)
  assert name in said
  assert TRANSFORMER in said


def nested(named):
  tree = {}
  for name, leaf in named.items():
    *path, last = name.split('/')
    here = tree
    for part in path:
      here = here.setdefault(part, {})
    here[last] = leaf
  return tree


def test_pickled_weights_are_refused(tmp_path, base_copy):
  with open(base_copy / TRANSFORMER, 'wb') as file:
    pickle.dump({'weight': [1.0]}, file)
  assert 'pickle' in refused(tmp_path / 'run', model__path=base_copy)


def test_weights_that_are_cut_short(tmp_path, base_copy):
  whole = (base_copy / TRANSFORMER).read_bytes()
  (base_copy / TRANSFORMER).write_bytes(whole[:1000])
  said = refused(tmp_path / 'run', model__path=base_copy)
  assert 'cut short' in said
  assert TRANSFORMER in said


def test_a_folder_without_a_base(tmp_path):
  said = refused(tmp_path / 'run', model__path=tmp_path)
  assert '--mode=pretrain' in said


def test_a_run_that_diverges_stops_without_a_traceback(tmp_path):
  said = refused(
    tmp_path / 'run', training__learning_rate=1e30, training__warmup=0
  )
  assert 'not finite' in said
  assert 'checkpoint' in said


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
def test_every_method_runs_from_start_to_report(tmp_path, name):
  flags = small_run.arguments(steps=2, method__name=name)
  status, _, err = small_run.call(*flags, f'--workdir={tmp_path}')
  assert status == 0, err
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert summary['method'] == name
  assert summary['final']['divergence'] is not None
  lines = small_run.records(tmp_path / 'metrics.jsonl')
  assert [line['step'] for line in lines]
  assert (tmp_path / 'report.html').stat().st_size > 10_000


@pytest.mark.slow
def test_pretraining_makes_a_base_that_loads(tmp_path):
  flags = small_run.arguments(model__path='')
  status, out, err = small_run.call(
    *flags, '--mode=pretrain', f'--workdir={tmp_path}'
  )
  assert status == 0, err
  assert str(tmp_path / 'base') in out
  base = base_models.load(tmp_path / 'base')
  leaves = leaf_names(base.params).values()
  assert all(np.isfinite(leaf).all() for leaf in leaves)
  assert base.autoencoder.scaling_factor != 1.0
