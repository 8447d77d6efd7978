"""Reading workdirs that are whole, half written, or none."""

import json

import numpy as np
import pytest
import synthetic_runs
import synthetic_texts

from adrpo_jax.report.run_record import (
  read_lines,
  read_run,
  read_samples,
  series,
)
from adrpo_jax.samples import image_file, text_file


def test_a_line_caught_while_being_written_is_skipped_in_silence(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "reward": 0.5}\n{"step": 2, "rew')
  records, notes = read_lines(path)
  assert records == [{'step': 1, 'reward': 0.5}]
  assert notes == []


def test_an_unreadable_line_is_named(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1}\nnonsense\n{"reward": 2}\n{"step": 3}\n')
  records, notes = read_lines(path)
  assert [record['step'] for record in records] == [1, 3]
  assert notes == [
    'metrics.jsonl: unreadable line 2 is left out.',
    'metrics.jsonl: unreadable line 3 is left out.',
  ]


def test_of_two_lines_of_a_step_the_later_counts(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 2, "a": 1}\n{"step": 1}\n{"step": 2, "a": 5}\n')
  records, _ = read_lines(path)
  assert records == [{'step': 1}, {'step': 2, 'a': 5}]


def test_series_leaves_out_what_is_not_a_finite_number():
  records = [
    {'step': 1, 'a': 0.5},
    {'step': 2, 'a': float('nan')},
    {'step': 3},
    {'step': 4, 'a': None},
    {'step': 5, 'a': 2},
  ]
  steps, values = series(records, 'a')
  np.testing.assert_array_equal(steps, [1, 5])
  np.testing.assert_array_equal(values, [0.5, 2.0])


def test_a_finished_run_reads_back_whole(finished):
  run = read_run(finished)
  assert run.notes == ()
  assert (run.method, run.steps) == ('adrpo', 60)
  assert run.base == run.summary['base']
  assert run.final == run.summary['final']
  assert [e['step'] for e in run.evaluations] == list(range(0, 61, 6))
  assert run.evaluations[0]['success'] == run.summary['base']['success']
  assert run.base_samples.images.shape == (12, 8, 32, 32, 3)
  assert run.tuned_samples.verdicts.shape == (12, 8)


def test_an_unfinished_run_answers_from_its_evaluations(tmp_path):
  workdir = synthetic_runs.write_run(tmp_path / 'run', finished=False, steps=40)
  run = read_run(workdir)
  assert run.summary is None
  assert (run.method, run.steps) == ('adrpo', 20)
  assert run.base['step'] == 0
  assert run.final['step'] == 20
  assert run.tuned_samples is not None  # of step_000020.npz


def test_missing_and_broken_files_are_noted(tmp_path):
  (tmp_path / 'config.json').write_text('{"config": {}}')
  (tmp_path / 'summary.json').write_text('{"method": ')
  (tmp_path / 'samples').mkdir()
  (tmp_path / 'samples' / 'base.npz').write_bytes(b'PK not a zip')
  run = read_run(tmp_path)
  text = ' '.join(run.notes)
  assert 'metrics.jsonl does not exist yet.' in text
  assert 'evaluations.jsonl does not exist yet.' in text
  assert 'summary.json is unreadable' in text
  assert 'samples/base.npz is unreadable' in text
  assert (run.method, run.steps, run.base, run.final) == ('run', 0, {}, {})


def test_pickled_samples_are_refused(tmp_path):
  workdir = synthetic_runs.write_run(tmp_path / 'run', steps=10)
  path = workdir / 'samples' / 'base.npz'
  arrays = dict(np.load(path))
  arrays['prompts'] = arrays['prompts'].astype(object)
  np.savez(path, **arrays)
  run = read_run(workdir)
  assert run.base_samples is None
  assert 'samples/base.npz is unreadable' in run.notes[0]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match='--workdir'):
    read_run(tmp_path)


def test_the_arrays_tell_which_kind_of_samples_a_file_keeps(tmp_path):
  chances = [0.5] * len(synthetic_runs.CATEGORIES)
  synthetic_runs.samples(tmp_path / 'a.npz', chances, per_category=1, side=8)
  synthetic_texts.samples(tmp_path / 'b.npz', synthetic_texts.BASE_SUCCESS)
  images, texts = (read_samples(tmp_path / f'{name}.npz') for name in 'ab')
  assert type(images) is image_file.Samples
  assert type(texts) is text_file.TextSamples
  assert texts.answers.shape == (6, 4)


@pytest.mark.parametrize('modality', ['', 'sound', 7, None, ['flow']])
def test_an_unknown_modality_is_that_of_the_samples(tmp_path, modality):
  config = {'config': {}, 'modality': modality}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  assert read_run(tmp_path).modality == 'flow'
