"""Workdirs that several tests of this folder look at, written once."""

import pytest
import synthetic_runs
import synthetic_texts

from adrpo_jax.report.write import write_report


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """A finished run of 60 steps with its report."""
  workdir = tmp_path_factory.mktemp('runs') / 'finished'
  synthetic_runs.write_run(workdir, steps=60)
  write_report(workdir)
  return workdir


@pytest.fixture(scope='session')
def spoken(tmp_path_factory):
  """A finished run of a language model, of 20 steps, with its report."""
  workdir = tmp_path_factory.mktemp('runs') / 'spoken'
  synthetic_texts.write_run(workdir, steps=20)
  write_report(workdir)
  return workdir
