"""W&B's mirror of a run, by the real package in its offline mode."""

import json
import sys

from etils import epath
import jax
import numpy as np
from PIL import Image
import pytest
import small_run
import synthetic_texts
import wandb_records

from adrpo_jax.report.sample_kinds import TEXTS
from adrpo_jax.samples import image_file, text_file
from adrpo_jax.system import wandb_mirror

wandb = pytest.importorskip('wandb')


@pytest.fixture(autouse=True, scope='module')
def environment(tmp_path_factory):
  """Offline, silent, and with no file outside the tests' own folder."""
  home = tmp_path_factory.mktemp('home')
  with pytest.MonkeyPatch.context() as patch:
    patch.delenv('WANDB_API_KEY', raising=False)
    for name in ('HOME', 'WANDB_CONFIG_DIR', 'WANDB_CACHE_DIR'):
      patch.setenv(name, str(home))
    patch.setenv('WANDB_DATA_DIR', str(home))
    patch.setenv('WANDB_MODE', 'offline')
    patch.setenv('WANDB_SILENT', 'true')
    patch.setenv('WANDB_CONSOLE', 'off')
    yield
    wandb.teardown()


def flags_of(workdir, **changes):
  changes = {'log__wandb__project': 'adrpo-tests', 'eval__every': 1} | changes
  return [*small_run.arguments(**changes), f'--workdir={workdir}']


@pytest.fixture(scope='module')
def resumed(tmp_path_factory):
  """The workdir of a run of two steps that went on for a third."""
  workdir = tmp_path_factory.mktemp('wandb') / 'run'
  for steps in (2, 3):
    flags = flags_of(workdir, steps=steps)
    status, _, err = small_run.call(*flags)
    assert status == 0, err
    if steps == 2:  # A finished run is not begun again.
      (workdir / 'summary.json').unlink()
  wandb.teardown()  # Its service has written the file once it has ended.
  return workdir


@pytest.mark.slow
def test_every_number_of_a_line_is_in_the_history(resumed):
  first, second = wandb_records.files(resumed)
  rows = [*wandb_records.history(first), *wandb_records.history(second)]
  by_step = {row['_step']: row for row in rows if 'loss' in row}
  lines = small_run.records(resumed / 'metrics.jsonl')
  assert sorted(by_step) == [line['step'] for line in lines] == [0, 1, 2]
  for line in lines:
    row = by_step[line['step']]
    numbers = {
      name: value
      for name, value in line.items()
      if isinstance(value, int | float) and name != 'step'
    }
    assert len(numbers) > 20
    for name, value in numbers.items():
      np.testing.assert_allclose(row[name], value, err_msg=name)
    assert row['beta_histogram._type'] == 'histogram'
    assert row['beta_histogram.values'] == line['beta_histogram']['counts']


def test_evaluations_stand_at_their_steps(resumed):
  rows = [
    row
    for file in wandb_records.files(resumed)
    for row in wandb_records.history(file)
  ]
  evaluations = small_run.records(resumed / 'evaluations.jsonl')
  logged = {row['_step']: row for row in rows if 'eval/reward' in row}
  assert {e['step'] for e in evaluations} == {0, 1, 2, 3} == set(logged)
  for evaluation in evaluations:
    row = logged[evaluation['step']]
    assert row['eval/reward'] == pytest.approx(evaluation['reward'])
    for category, success in evaluation['by_category'].items():
      assert row[f'eval/by_category/{category}'] == pytest.approx(success)


def test_images_are_those_that_the_run_keeps(resumed):
  first, second = wandb_records.files(resumed)
  kept = image_file.read(resumed / 'samples' / 'final.npz')
  row = next(
    row
    for row in reversed(wandb_records.history(second))
    if 'samples._type' in row
  )
  assert row['_step'] == 3
  assert row['samples.count'] == len(kept.prompts)
  assert row['samples.captions'][0].startswith(f'{kept.prompts[0]}: ')
  shown = np.asarray(
    Image.open(second.parent / 'files' / row['samples.filenames'][0])
  )
  assert shown.shape == (256, 512, 3)  # two samples, enlarged eight times
  np.testing.assert_array_equal(shown[::8, :256:8], kept.images[0, 0])
  assert [r for r in wandb_records.history(first) if 'samples._type' in r]


def test_the_config_is_that_of_the_workdir(resumed):
  first, _ = wandb_records.files(resumed)
  stored = json.loads((resumed / 'config.json').read_text())['config']
  logged = wandb_records.config(first)
  assert logged.pop('_wandb', {}) is not None
  assert logged == stored | {'steps': 2}


def test_a_resumed_run_goes_on_in_the_same_run_of_wandb(resumed):
  kept = json.loads((resumed / 'wandb.json').read_text())
  runs = [wandb_records.run(file) for file in wandb_records.files(resumed)]
  assert [run.run_id for run in runs] == [kept['id']] * 2
  assert [run.project for run in runs] == ['adrpo-tests'] * 2


def test_another_project_is_refused_for_a_workdir(resumed):
  (resumed / 'summary.json').unlink()
  said = small_run.refused(
    resumed, steps=3, eval__every=1, log__wandb__project='other'
  )
  assert 'project=adrpo-tests' in said
  assert 'wandb.json' in said


def test_texts_are_a_table(tmp_path):
  synthetic_texts.samples(tmp_path / 'final.npz', [0.5] * 3)
  with wandb_mirror.mirrored('p', epath.Path(tmp_path), {'seed': 0}) as mirror:
    mirror.evaluation(
      7, {'reward': 0.5}, lambda: TEXTS.logged(tmp_path / 'final.npz')
    )
  wandb.teardown()  # Its service has written the file once it has ended.
  (file,) = wandb_records.files(tmp_path)
  (row,) = wandb_records.history(file)
  assert row['_step'] == 7
  assert row['eval/reward'] == 0.5
  table = json.loads((file.parent / 'files' / row['samples.path']).read_text())
  kept = text_file.read(tmp_path / 'final.npz')
  assert table['columns'][:3] == ['category', 'prompt', 'answer']
  assert [line[2] for line in table['data']] == kept.answers.ravel().tolist()


def test_only_process_0_writes(tmp_path, monkeypatch):
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  monkeypatch.setitem(sys.modules, 'wandb', None)  # nor needs the package
  wandb_mirror.check('p')
  with wandb_mirror.mirrored('p', epath.Path(tmp_path), {}) as mirror:
    mirror.metrics(0, {'loss': 1.0})
    mirror.evaluation(0, {'reward': 1.0}, dict)
  assert not any(tmp_path.iterdir())


def test_a_missing_package_is_named_before_anything_is_built(
  tmp_path, monkeypatch
):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  said = small_run.refused(
    tmp_path / 'run', log__wandb__project='p', model__path='/nowhere'
  )
  assert "pip install 'adrpo-jax[wandb]'" in said
  assert not (tmp_path / 'run').exists()


def test_a_missing_login_is_named_before_anything_is_built(
  tmp_path, monkeypatch
):
  monkeypatch.setenv('WANDB_MODE', 'online')
  wandb.teardown()
  said = small_run.refused(
    tmp_path / 'run', log__wandb__project='p', model__path='/nowhere'
  )
  assert 'wandb login' in said
  assert 'WANDB_MODE=offline' in said
  assert not (tmp_path / 'run').exists()
  wandb.teardown()
