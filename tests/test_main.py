"""The command line: what it makes of a config."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys

from absl.testing import flagsaver
from etils import epath
import numpy as np
from PIL import Image
import pytest
import small_run

from adrpo_jax import console, main
from adrpo_jax.compare import __main__ as compare
from adrpo_jax.compile import __main__ as compilation
from adrpo_jax.method.methods import METHODS
from adrpo_jax.modalities.flow import pixel_diversity
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.pretrain import shapes
from adrpo_jax.rewards.image_table import REWARDS, make_reward
from adrpo_jax.samples import image_file
from adrpo_jax.system import run_folder
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import PromptBatch
from adrpo_jax.worlds import shapes_prompts

# Of `trained`, which is evaluated at two guidance scales.
SETTINGS = {'steps': 2, 'eval__guidance_scales': '1,2.5'}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A finished run of two steps, and what it printed."""
  workdir = tmp_path_factory.mktemp('trained') / 'run'
  flags = small_run.arguments(**SETTINGS)
  status, out, err = small_run.call(*flags, f'--workdir={workdir}')
  assert status == 0, err
  return workdir, out


@pytest.mark.slow
def test_a_run_leaves_all_its_files(trained):
  workdir, out = trained
  files = {str(p.relative_to(workdir)) for p in workdir.rglob('*')}
  assert files >= {
    *('config.json', 'metrics.jsonl', 'evaluations.jsonl', 'summary.json'),
    *('samples/base.npz', 'samples/final.npz', 'report.html'),
    'per_prompt.json',
    *('checkpoints/00000001', 'checkpoints/00000002'),
  }
  summary = json.loads((workdir / 'summary.json').read_text())
  assert summary['method'] == 'adrpo'
  assert summary['steps'] == 2
  assert 0 <= summary['final']['success'] <= 1
  # Of equal weights: 0, but for how a processor rounds in two places.
  assert summary['base']['divergence'] == pytest.approx(0, abs=1e-10)
  assert summary['final']['divergence'] > 1e-9
  assert summary['final']['samples'] == 16
  assert summary['title'] == 'ADRPO'
  assert 'success' in out
  assert str(workdir / 'report.html') in out


@pytest.mark.slow
def test_a_further_guidance_scale_is_evaluated_and_reported(trained):
  workdir, out = trained
  assert 'reward_guidance_2.5' in out
  final = json.loads((workdir / 'summary.json').read_text())['final']
  assert final['reward_guidance_2.5'] != final['reward']
  assert final['divergence_guidance_2.5_se'] >= 0
  categories = final['by_category_guidance_2.5']
  assert set(categories) == set(final['by_category'])
  assert 'Reward at guidance 2.5' in (workdir / 'report.html').read_text()


@pytest.mark.slow
def test_metrics_and_evaluations_have_a_line_for_each_step(trained):
  workdir, _ = trained
  lines = small_run.records(workdir / 'metrics.jsonl')
  assert [line['step'] for line in lines] == [0, 1]
  assert all(line['loss'] is not None for line in lines)
  evaluations = small_run.records(workdir / 'evaluations.jsonl')
  assert [line['step'] for line in evaluations] == [0, 2]


@pytest.mark.slow
def test_base_and_final_samples_are_of_the_same_prompts(trained):
  workdir, _ = trained
  base, final = (
    np.load(workdir / 'samples' / f'{name}.npz') for name in ('base', 'final')
  )
  np.testing.assert_array_equal(base['prompts'], final['prompts'])
  assert base['images'].shape == (8, 2, 32, 32, 3)
  assert base['verdicts'].shape == (8, 2)


@pytest.mark.slow
def test_a_finished_workdir_prints_its_summary(trained):
  workdir, _ = trained
  before = (workdir / 'metrics.jsonl').read_bytes()
  flags = small_run.arguments(**SETTINGS)
  status, out, _ = small_run.call(*flags, f'--workdir={workdir}')
  assert status == 0
  assert 'is finished' in out
  assert '"final"' in out
  assert (workdir / 'metrics.jsonl').read_bytes() == before


@pytest.mark.slow
def test_a_finished_run_writes_the_report_that_it_lacks(trained):
  """Also by a path behind ~, and to a console without arrows."""
  workdir, _ = trained
  for path in [workdir / 'report.html', *workdir.glob('figures/*')]:
    path.unlink()
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('HOME', str(workdir.parent))
    flags = small_run.arguments(**SETTINGS)
    status, out, err = small_run.call(*flags, '--workdir=~/run')
  assert status == 0, err
  assert 'is finished' in out
  assert (workdir / 'report.html').stat().st_size > 10_000
  assert list(workdir.glob('figures/*.png'))
  before = (workdir / 'report.html').stat().st_mtime_ns
  assert small_run.call(*flags, f'--workdir={workdir}')[0] == 0
  assert (workdir / 'report.html').stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_second_run_in_a_workdir_is_refused(trained):
  workdir, _ = trained
  with run_folder.locked(epath.Path(workdir)):
    said = small_run.refused(workdir, steps=3)
  assert f'got {workdir}: process {os.getpid()} on' in said


class BrokenPipe(io.StringIO):
  """A stream that nobody reads any more."""

  def write(self, text):
    raise BrokenPipeError(errno.EPIPE, 'Broken pipe')


@pytest.mark.parametrize(
  ('command', 'words', 'status'),
  [
    (main.main, ['main', '--help'], 0),
    (main.main, ['main', '--mode=trian'], 2),
    (compare.main, ['compare', '--config=none.py'], 2),
    (compilation.run, ['compile', '--config=none.py'], 2),
    (lambda words: console.main(), ['adrpo-jax', 'help'], 0),
    (lambda words: console.main(), ['adrpo-jax', 'trian'], 2),
  ],
)
def test_commands_that_nobody_listens_to_end_as_ever(
  monkeypatch, command, words, status
):
  monkeypatch.setattr(sys, 'argv', words)
  monkeypatch.setattr(sys, 'stdout', BrokenPipe())
  monkeypatch.setattr(sys, 'stderr', BrokenPipe())
  with flagsaver.flagsaver():
    assert command(words) == status


def test_a_full_disk_is_one_line(monkeypatch, tmp_path):
  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(main, '_run', full)
  said = small_run.refused(tmp_path)
  (line,) = (line for line in said.splitlines() if 'error: ' in line)
  assert line.startswith('error: The disk is full.')


@pytest.mark.slow
def test_another_config_is_refused_and_the_keys_named(trained):
  workdir, _ = trained
  said = small_run.refused(
    workdir, **SETTINGS, seed=3, training__learning_rate=0.5
  )
  assert 'seed: 0 there, 3 asked for' in said
  assert 'training.learning_rate' in said
  assert 'prompts' not in said


@pytest.mark.slow
def test_a_run_with_missing_lines_does_not_go_on(trained, tmp_path):
  workdir = shutil.copytree(trained[0], tmp_path / 'run')
  (workdir / 'summary.json').unlink()
  path = workdir / 'metrics.jsonl'
  first, second = path.read_text().splitlines(keepends=True)
  path.write_text(second)
  said = small_run.refused(workdir, **SETTINGS)
  assert f'Expected a line of each step in {path}' in said
  assert 'steps [0] are missing' in said
  path.write_text(first)
  said = small_run.refused(workdir, **SETTINGS)
  assert 'steps [1] are missing' in said
  # The way out that it names: what the last checkpoint follows is done again.
  shutil.rmtree(workdir / 'checkpoints' / '00000002')
  flags = [*small_run.arguments(**SETTINGS), f'--workdir={workdir}']
  status, _, err = small_run.call(*flags)
  assert status == 0, err
  got, expected = (
    json.loads((folder / 'summary.json').read_text())
    for folder in (workdir, trained[0])
  )
  assert got['beta'] == expected['beta']
  assert got['final'] == expected['final']


@pytest.mark.slow
def test_eval_prints_the_figures_of_the_newest_checkpoint(trained):
  workdir, _ = trained
  # Its guidance is that of the run, unless the command names another.
  flags = [*small_run.arguments(steps=2), f'--workdir={workdir}']
  status, out, _ = small_run.call(*flags, '--mode=eval')
  assert status == 0
  summary = json.loads((workdir / 'summary.json').read_text())
  figures = json.loads(out[out.index('{') :])
  assert figures == summary['final']


@pytest.mark.slow
def test_sample_draws_images_of_the_trained_policy(trained, tmp_path):
  workdir, _ = trained
  flags = [*small_run.arguments(**SETTINGS), '--mode=sample', '--count=3']
  flags += ['--prompt=a red circle', '--prompt=a blue square']
  drawn = []
  for folder in (workdir, tmp_path / 'none'):
    status, out, err = small_run.call(*flags, f'--workdir={folder}')
    assert status == 0, err
    assert '6 images' in out
    files = sorted((folder / 'drawn').glob('*.png'))
    assert [f.name for f in files] == [
      f'0000{p}_{i:02d}_a_{what}.png'
      for p, what in enumerate(('red_circle', 'blue_square'))
      for i in range(3)
    ]
    drawn.append(np.stack([np.asarray(Image.open(f)) for f in files]))
  assert drawn[0].shape == (6, 256, 256, 3)
  assert (drawn[0] != drawn[1]).any()  # the policy has left the base
  # A second draw leaves nothing of the first to be judged with it. Its chunks
  # are those that divide its samples.
  flags = [*flags[:-1], '--count=1', '--config.compute.decode_chunks=3']
  flags += [f'--workdir={tmp_path / "none"}']
  status, _, err = small_run.call(*flags)
  assert status == 0, err
  assert sorted(p.name for p in (tmp_path / 'none' / 'drawn').iterdir()) == [
    '00000_00_a_red_circle.png',
    'manifest.json',
    'prompts.txt',
  ]


@pytest.mark.slow
def test_drawn_images_are_judged_as_they_lie(trained, tmp_path):
  """Enlarged files give the figures of the images in memory."""
  workdir, _ = trained
  kept = image_file.read(workdir / 'samples' / 'final.npz')
  folder = tmp_path / 'images'
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
  asked = PromptBatch.of_step(
    np.arange(len(texts)), facts=shapes_prompts.facts(texts)
  )
  judged = make_reward({'shapes': 1.0}, texts)(asked, kept.images)
  for name in ('facts', 'success', 'fidelity'):
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
def test_what_judging_images_wants(tmp_path, flags, said):
  assert said in small_run.refused(tmp_path, *flags)


def test_images_of_another_size_are_refused(tmp_path):
  Image.new('RGB', (48, 48)).save(tmp_path / '0_0.png')
  (tmp_path / 'prompts.txt').write_text('a red circle')
  given = [f'--images={tmp_path}', f'--prompts={tmp_path}/prompts.txt']
  assert 'got 48 × 48' in small_run.refused(tmp_path, '--mode=eval', *given)


def test_help_lists_modes_flags_methods_and_rewards():
  status, out, _ = small_run.call('--help')
  assert status == 0
  python = '--config.reward.python=FILE.py:NAME'
  for name in (*main.MODES, '--workdir', *METHODS, *REWARDS, python):
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


@pytest.mark.slow
def test_sample_takes_any_count_on_any_number_of_devices(tmp_path):
  flags = [*small_run.arguments(), '--mode=sample', '--count=1']
  flags += ['--prompt=a red circle', f'--workdir={tmp_path}']
  status, _, err = small_run.call(*flags, devices=8)
  assert status == 0, err
  assert len(list((tmp_path / 'drawn').glob('*.png'))) == 1


def test_sample_names_the_nearest_known_word(tmp_path):
  said = small_run.refused(tmp_path, '--mode=sample', '--prompt=a red circel')
  assert "'circel'" in said
  assert "Did you mean 'circle'?" in said


def test_sample_wants_a_prompt(tmp_path):
  assert '--prompt=' in small_run.refused(tmp_path, '--mode=sample')


@pytest.mark.slow
def test_a_run_that_diverges_stops_without_a_traceback(tmp_path):
  said = small_run.refused(
    tmp_path / 'run', training__learning_rate=1e30, training__warmup_steps=0
  )
  assert 'not finite' in said
  assert 'checkpoint' in said


@pytest.mark.slow
@pytest.mark.parametrize('name', ['dpo', 'flow_grpo'])
def test_another_method_runs_from_start_to_report(tmp_path, name):
  """One of pairs, and one of whole trajectories.

  `trained` is ADRPO's; test_resume.py has one with a copy of the policy, and
  test_devices.py an update of every method.
  """
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
def test_pretraining_makes_a_base_that_loads(tmp_path, monkeypatch):
  """Of all stages, on models of the size that tests train."""
  monkeypatch.setattr(shapes, 'SMALL_BASE', small_run.MODELS)
  config = f'--config={small_run.ROOT}/configs/pretrain.py:debug'
  mmdit = small_run.MODELS.mmdit
  sizes = [
    f'--config.pretrain.transformer.{key}={getattr(mmdit, key)}'
    for key in ('num_layers', 'num_attention_heads', 'attention_head_dim')
  ]
  status, out, err = small_run.call(
    config, *sizes, '--mode=pretrain', f'--workdir={tmp_path}'
  )
  assert status == 0, err
  assert str(tmp_path / 'base') in out
  base = base_models.load(tmp_path / 'base')
  leaves = leaf_names(base.params).values()
  assert all(np.isfinite(leaf).all() for leaf in leaves)
  assert base.autoencoder.scaling_factor != 1.0
  assert base.mmdit == mmdit


def test_a_base_of_another_size_is_not_trained_further(tmp_path):
  status, _, err = small_run.call(
    f'--config={small_run.ROOT}/configs/pretrain.py:debug',
    f'--config.model.path={small_run.ROOT}/adrpo_jax/worlds/shapes_base',
    '--config.pretrain.transformer.num_layers=5',
    *('--mode=pretrain', f'--workdir={tmp_path}'),
  )
  assert status == 2
  assert 'num_layers=5' in err
  assert 'num_layers=4' in err
