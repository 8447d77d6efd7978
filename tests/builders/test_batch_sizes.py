"""Prompts for each chip become batches of the whole mesh."""

import pytest
import small_run

from adrpo_jax.builders.batch_sizes import fit_to_chips

MESH = {'data': 2, 'fsdp': 8, 'tensor': 4}  # 16 groups of chips share a batch


@pytest.mark.parametrize(
  ('per_chip', 'batches'),
  [
    ((0, 0), (24, 100)),
    ((2, 0), (32, 112)),  # 100 is raised to the next multiple of 16.
    ((2, 1), (32, 16)),
    ((0, 3), (24, 48)),
  ],
)
def test_batches(per_chip, batches):
  changes = {'prompts.prompts_per_step': 24, 'eval.batch_size': 100}
  config = small_run.preset_config('debug', changes)
  fit_to_chips(config, MESH, *per_chip)
  assert (config.prompts.prompts_per_step, config.eval.batch_size) == batches
