"""A comparison that several tests of this folder look at, written once."""

import pytest
import synthetic_runs

from adrpo_jax.compare.report import write_comparison


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
