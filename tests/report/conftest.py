"""Workdirs that several tests of this folder look at, written once."""

import pytest
import synthetic_runs
import synthetic_texts

from adrpo_jax.compare_report import write_comparison
from adrpo_jax.report import write_report


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


@pytest.fixture(scope='session')
def compared(tmp_path_factory):
  """Three methods, two seeds each but one unfinished, with their report."""
  workdir = tmp_path_factory.mktemp('comparison')
  for method in ('raft', 'adrpo', 'orw_cfm_w2'):
    for seed in (0, 1):
      synthetic_runs.write_run(
        workdir / method / f'seed_{seed}',
        method=method,
        seed=seed,
        steps=20,
        finished=(method, seed) != ('raft', 1),
      )
  write_comparison(workdir)
  return workdir
