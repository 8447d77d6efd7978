"""Workdirs in a bucket: the same run as on disk, and what cannot be there."""

import json
import os

import jax
import made_bucket
import numpy as np
import pytest
import small_run

from adrpo_jax import preferences
from adrpo_jax.errors import InputError
from adrpo_jax.metrics import MetricsLog
from adrpo_jax.system import files, manifest
from adrpo_jax.system.output_folder import output_folder
from adrpo_jax.system.records import cut_back
from adrpo_jax.types import Scores


@pytest.fixture
def bucket(tmp_path, monkeypatch):
  return made_bucket.stand_in(tmp_path / 'cloud', monkeypatch)


def steps_of(path):
  return [json.loads(line)['step'] for line in path.read_text().splitlines()]


def test_the_stand_in_is_as_strict_as_a_bucket(bucket, tmp_path):
  (bucket / 'run' / 'a').write_text('there')
  assert (tmp_path / 'cloud' / 'bucket' / 'run' / 'a').read_text() == 'there'
  assert [p.name for p in bucket.iterdir()] == ['run']
  with pytest.raises(NotImplementedError, match='no end'):
    (bucket / 'run' / 'a').open('a')


def test_lines_reach_a_bucket_when_settled_by_the_clock_and_at_the_end(bucket):
  path, now = bucket / 'run' / 'metrics.jsonl', [0.0]
  with MetricsLog(path, interval=60, clock=lambda: now[0]) as log:
    log.write(0, {'reward': 0.5})
    assert not path.exists()
    log.settle()
    assert steps_of(path) == [0]
    log.write(1, {})
    now[0] = 59.0
    log.write(2, {})
    assert steps_of(path) == [0]
    now[0] = 60.0
    log.write(3, {})
    assert steps_of(path) == [0, 1, 2, 3]
    now[0] = 119.0
    log.write(4, {})
    assert steps_of(path) == [0, 1, 2, 3]
  assert steps_of(path) == [0, 1, 2, 3, 4]


def test_a_resumed_log_goes_on_where_it_was_cut_back(bucket):
  path = bucket / 'metrics.jsonl'
  path.write_text('{"step": 0}\n{"step": 1}\n{"step": 2}\n{"st')
  assert cut_back(path, 2) == 2
  assert steps_of(path) == [0, 1]
  with MetricsLog(path, start=2) as log:
    log.write(2, {})
  assert steps_of(path) == [0, 1, 2]


def interrupted(opened, act):
  with opened as inside:
    act(inside)
    raise RuntimeError


def test_a_failed_run_keeps_the_line_it_failed_on(bucket):
  path = bucket / 'metrics.jsonl'
  with pytest.raises(RuntimeError):
    interrupted(MetricsLog(path), lambda log: log.write(0, {'reward': 0.5}))
  assert steps_of(path) == [0]


def test_the_mirror_is_copied_beside_what_was_there(bucket):
  pytest.importorskip('tensorboardX')
  board = bucket / 'tensorboard'
  for start in (0, 2):
    log = MetricsLog(bucket / 'm.jsonl', tensorboard=board, start=start)
    with log:
      log.write(start, {'reward': 0.5})
  names = sorted(file.name[-7:] for file in board.iterdir())
  assert names == ['.from_0', '.from_2']
  assert all(file.stat().length > 50 for file in board.iterdir())


def test_a_staged_folder_arrives_whole_and_not_after_an_error(bucket):
  (bucket / 'export' / 'kept').write_text('old')
  with files.StagedFolder(bucket / 'export') as staged:
    assert not files.in_bucket(staged.folder)
    (staged.folder / 'in').mkdir()
    (staged.folder / 'in' / 'a').write_bytes(b'\x00\x01')
    there = staged.folder
  assert not there.exists()
  assert (bucket / 'export' / 'in' / 'a').read_bytes() == b'\x00\x01'
  assert (bucket / 'export' / 'kept').read_text() == 'old'
  with pytest.raises(RuntimeError):
    interrupted(
      files.StagedFolder(bucket / 'export'),
      lambda staged: (staged.folder / 'half').write_text('half'),
    )
  assert not (bucket / 'export' / 'half').exists()


def test_a_folder_on_disk_is_written_to_directly(tmp_path):
  with files.StagedFolder(tmp_path / 'a' / 'b') as staged:
    assert os.fspath(staged.folder) == str(tmp_path / 'a' / 'b')
    (staged.folder / 'c').write_text('c')
    staged.upload()
  assert (tmp_path / 'a' / 'b' / 'c').read_text() == 'c'


def test_preference_pairs_come_back_from_a_bucket(bucket):
  path = bucket / 'preferences' / 'pairs.safetensors'
  x0 = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
  rewards = np.array([[0.0, 2.0, 1.0], [5.0, 4.0, 3.0]], np.float32)
  scores = Scores(rewards, np.ones((2, 3), bool), {})
  preferences.draw(
    path,
    1,
    lambda step: (
      np.array([7, 8], np.int32),
      {'x0': jax.numpy.array(x0)},
      scores,
    ),
    lambda step: None,
  )
  pairs = preferences.read(path, 9)
  np.testing.assert_array_equal(pairs['ids'], [7, 8])
  np.testing.assert_array_equal(pairs['winner']['x0'], [x0[0, 1], x0[1, 0]])
  np.testing.assert_array_equal(pairs['loser']['x0'], [x0[0, 0], x0[1, 2]])
  with pytest.raises(InputError, match=r'at gs://bucket/none\.safetensors'):
    preferences.read(bucket / 'none.safetensors', 9)


def test_output_in_a_bucket_is_that_of_one_command(bucket):
  for names in (['a', 'in/b'], ['c']):
    with output_folder(bucket / 'drawn') as new:
      for name in names:
        (new / name).parent.mkdir(exist_ok=True)
        (new / name).write_text(name)
  left = {file.name for file in files.below(bucket / 'drawn')}
  assert left == {'c', 'manifest.json'}
  assert manifest.damage(bucket / 'drawn') is None
  (bucket / 'drawn' / 'mine').write_text('mine')
  with (
    pytest.raises(InputError, match='another origin: mine'),
    output_folder(bucket / 'drawn'),
  ):
    pass


@pytest.mark.parametrize(
  ('workdir', 'said'),
  [
    ('s3://bucket/run', 'got s3://bucket/run'),
    ('gs://bucket', 'got gs://bucket'),
    ('gs:///run', 'got gs:///run'),
  ],
)
def test_other_places_are_refused(workdir, said):
  flags = small_run.arguments()
  status, _, err = small_run.call(*flags, f'--workdir={workdir}')
  assert status == 2
  assert 'in a bucket of Google Cloud Storage, gs://BUCKET/FOLDER' in err
  assert said in err


@pytest.mark.parametrize(
  ('raised', 'said'),
  [
    (ImportError('Please install gcsfs'), 'Run `pip install gcsfs`.'),
    (PermissionError('Forbidden'), 'Forbidden. Run `gcloud auth'),
  ],
)
def test_a_bucket_out_of_reach_is_told_with_the_way_out(
  bucket, monkeypatch, raised, said
):
  def unreachable(self):
    raise raised

  monkeypatch.setattr(type(bucket), 'exists', unreachable)
  status, _, err = small_run.call(
    *small_run.arguments(), f'--workdir={bucket}/run'
  )
  assert status == 2
  assert said in err


def test_a_base_is_not_made_in_a_bucket(bucket):
  config = f'--config={small_run.ROOT}/configs/pretrain.py:debug'
  status, _, err = small_run.call(
    config, '--mode=pretrain', f'--workdir={bucket}/run'
  )
  assert status == 2
  assert 'a folder on this machine as --workdir of --mode=pretrain' in err


@pytest.mark.slow
def test_a_run_in_a_bucket_is_that_on_disk(bucket, tmp_path):
  """Interrupted after half, it goes on from its checkpoint in the bucket."""
  board = {'log__tensorboard': True}
  for steps in (2, 4):
    flags = small_run.arguments(steps=steps, **board)
    status, out, err = small_run.call(*flags, f'--workdir={bucket}/run')
    assert status == 0, err
  assert 'gs://bucket/run/report.html' in out
  workdir = tmp_path / 'run'
  flags = small_run.arguments(steps=4, **board)
  status, _, err = small_run.call(*flags, f'--workdir={workdir}')
  assert status == 0, err

  there, here = (
    [
      {k: v for k, v in line.items() if 'second' not in k}
      for line in small_run.records(folder / 'metrics.jsonl')
    ]
    for folder in (bucket / 'run', workdir)
  )
  assert there == here
  assert len(here) == 4
  finals = [
    json.loads((folder / 'summary.json').read_text())['final']
    for folder in (bucket / 'run', workdir)
  ]
  assert finals[0] == finals[1]
  # The interrupted one has another mirror, and evaluated after two steps too.
  kept = {'config.json', 'metrics.jsonl', 'evaluations.jsonl', 'summary.json'}
  kept |= {'report.html', 'samples/base.npz', 'samples/final.npz'}
  root = tmp_path / 'cloud' / 'bucket' / 'run'
  names = {str(p.relative_to(root)) for p in root.rglob('*') if p.is_file()}
  assert names >= kept
  assert any(name.startswith('tensorboard/') for name in names)
  assert not (tmp_path.parent / 'gs:').exists()
  assert not os.path.exists('gs:')

  flags = small_run.arguments(steps=4, **board)
  drawn = (f'--workdir={bucket}/run', '--mode=sample', '--count=2')
  status, _, err = small_run.call(*flags, *drawn, '--prompt=a red circle')
  assert status == 0, err
  assert sorted(p.name for p in (root / 'drawn').iterdir()) == [
    '00000_00_a_red_circle.png',
    '00000_01_a_red_circle.png',
    'manifest.json',
    'prompts.txt',
  ]
  status, out, err = small_run.call(
    *flags, f'--workdir={bucket}/run', '--mode=export'
  )
  assert status == 0, err
  exported = out.split('Exported: ')[1].strip()
  assert exported.startswith('gs://bucket/run/export')
  assert list((root / 'export').rglob('*.safetensors'))
