"""--mode=export: what it writes is the policy that evaluation judged."""

import json

import jax
import jax.numpy as jnp
import merged_lora
import numpy as np
import pytest
import small_run

from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.models.files import lora_files, weight_table
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.sd3 import weight_tables as sd3_tables
from adrpo_jax.models.sd3.export import POSITIONS
from adrpo_jax.models.sd3.mmdit import position_table
from adrpo_jax.tree_names import leaf_names

ROWS = sd3_tables.transformer_rows(2)
# The average is ahead of the base by 1.5 of its way; alpha/r is 4.
SETTINGS = {
  'steps': 2,
  'training__ema_decay': 0.5,
  'training__extrapolation': 1.5,
  'training__learning_rate': 0.03,
  'model__lora_alpha': 8.0,
}


def exported(workdir, **changes):
  """(folder, policy, reference) of a run of two steps."""
  settings = SETTINGS | changes
  flags = [*small_run.arguments(**settings), f'--workdir={workdir}']
  for mode in ('train', 'export'):
    status, out, err = small_run.call(*flags, f'--mode={mode}')
    assert status == 0, err
  assert str(workdir / 'export') in out
  run = small_run.build(small_run.make_config(**settings))
  with Checkpoints(workdir / 'checkpoints') as checkpoints:
    state = checkpoints.restore(run.abstract).state
  policy = jax.device_get(run.policy(state, run.frozen))
  return workdir / 'export', policy, jax.device_get(run.frozen['reference'])


def largest_change(tree, base):
  pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(base), strict=True)
  return max(np.abs(a - b).max() for a, b in pairs)


@pytest.mark.slow
def test_the_whole_model(tmp_path):
  folder, policy, base = exported(tmp_path)
  assert largest_change(policy, base) > 1e-3
  with tensor_files(folder / 'transformer') as files:
    table = files.read(POSITIONS)
    shapes = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, policy))
    tree = weight_table.load(files, ROWS, shapes, '^pos_embed.pos_embed$')
  for name, leaf in leaf_names(tree).items():
    np.testing.assert_array_equal(leaf, leaf_names(policy)[name], name)
  stored = json.loads((folder / 'transformer' / 'config.json').read_text())
  assert stored['_class_name'] == 'SD3Transformer2DModel'
  assert stored['sample_size'] == 8
  config = small_run.MODELS.mmdit
  np.testing.assert_array_equal(table[0], position_table(config, 4, 4))


@pytest.mark.slow
def test_adapters(tmp_path):
  folder, policy, base = exported(tmp_path, model__lora_rank=2)
  beside, adapters = merged_lora.split(policy)
  for a, b in zip(*map(jax.tree.leaves, (beside, base)), strict=True):
    np.testing.assert_array_equal(a, b)
  read = leaf_names(lora_files.load(folder, ROWS, base))
  assert max(np.abs(leaf).max() for leaf in read.values()) > 1e-3
  for name, leaf in leaf_names(adapters).items():
    np.testing.assert_allclose(leaf, read[name], atol=1e-6)


def test_without_a_run_there_is_nothing_to_export(tmp_path):
  flags = [*small_run.arguments(), '--mode=export', f'--workdir={tmp_path}']
  status, _, err = small_run.call(*flags)
  assert status == 2
  assert 'Expected a run with a checkpoint' in err
  assert not (tmp_path / 'export').exists()
