"""--mode=export: what it writes is the policy that evaluation judged.

We read it back, and diffusers makes the same images from it.
"""

import json
import pathlib
from typing import NamedTuple

from closeness import distance
from diffusers_model import velocity_of
import jax
import jax.numpy as jnp
import merged_lora
import numpy as np
import pytest
import small_run

from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.files import lora_files, weight_table
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.sd3 import weight_tables as sd3_tables
from adrpo_jax.models.sd3.export import POSITIONS, save_transformer
from adrpo_jax.models.sd3.mmdit import MMDiT, position_table
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import PyTree

BLOCKS = 2  # both kinds of blocks
MMDIT = small_run.models(BLOCKS).mmdit
ROWS = sd3_tables.transformer_rows(BLOCKS)
# The average is ahead of the base by 1.5 of its way; alpha/r is 4.
SETTINGS = {
  'steps': 2,
  'training__ema_decay': 0.5,
  'training__extrapolation': 1.5,
  'training__learning_rate': 0.03,
  'model__lora_alpha': 8.0,
}


class Exported(NamedTuple):
  """The folder of an export, and what the run has of the transformer."""

  folder: pathlib.Path
  policy: PyTree
  reference: PyTree


def exported(workdir, **changes):
  """Trains a run of two steps and exports it."""
  path = str(small_run.base_folder(BLOCKS))
  settings = SETTINGS | {'model__path': path} | changes
  flags = [*small_run.arguments(**settings), f'--workdir={workdir}']
  for mode in ('train', 'export'):
    status, out, err = small_run.call(*flags, f'--mode={mode}')
    assert status == 0, err
  assert str(workdir / 'export') in out
  run = small_run.build(small_run.make_config(**settings))
  with Checkpoints(workdir / 'checkpoints') as checkpoints:
    state = checkpoints.restore(run.abstract).state
  policy = jax.device_get(run.policy(state, run.frozen))
  reference = jax.device_get(run.frozen['reference'])
  return Exported(workdir / 'export', policy, reference)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """An export of all weights."""
  return exported(tmp_path_factory.mktemp('whole'))


@pytest.fixture(scope='module')
def adapted(tmp_path_factory):
  """An export of adapters."""
  return exported(tmp_path_factory.mktemp('adapted'), model__lora_rank=2)


def largest_change(tree, base):
  pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(base), strict=True)
  return max(np.abs(a - b).max() for a, b in pairs)


@pytest.mark.slow
def test_the_whole_model(whole):
  assert largest_change(whole.policy, whole.reference) > 1e-3
  with tensor_files(whole.folder / 'transformer') as files:
    table = files.read(POSITIONS)
    shapes = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, whole.policy))
    tree = weight_table.load(files, ROWS, shapes, '^pos_embed.pos_embed$')
  for name, leaf in leaf_names(tree).items():
    np.testing.assert_array_equal(leaf, leaf_names(whole.policy)[name], name)
  config = whole.folder / 'transformer' / 'config.json'
  stored = json.loads(config.read_text())
  assert stored['_class_name'] == 'SD3Transformer2DModel'
  assert stored['sample_size'] == 8
  np.testing.assert_array_equal(table[0], position_table(MMDIT, 4, 4))


@pytest.mark.slow
def test_adapters(adapted):
  beside, adapters = merged_lora.split(adapted.policy)
  pairs = zip(*map(jax.tree.leaves, (beside, adapted.reference)), strict=True)
  for a, b in pairs:
    np.testing.assert_array_equal(a, b)
  loaded = lora_files.load(adapted.folder, ROWS, adapted.reference)
  read = leaf_names(loaded)
  assert max(np.abs(leaf).max() for leaf in read.values()) > 1e-3
  for name, leaf in leaf_names(adapters).items():
    np.testing.assert_allclose(leaf, read[name], atol=1e-6)


def velocities():
  """Two functions, (params) and (a model of diffusers) -> velocities."""
  pytest.importorskip('torch')
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 8, 8, 8)).astype(np.float32)
  states = rng.normal(size=(2, 5, 32)).astype(np.float32)
  pooled = rng.normal(size=(2, 32)).astype(np.float32)
  sigma = np.array([0.2, 0.9], np.float32)

  def ours(params):
    return MMDiT(MMDIT).apply(params, x, sigma, Condition(states, pooled))

  def theirs(model):
    return velocity_of(model, x, sigma, states, pooled)

  return ours, theirs


def transformer_of(folder):
  """Loads the transformer of a folder as diffusers does."""
  diffusers = pytest.importorskip('diffusers')
  return diffusers.SD3Transformer2DModel.from_pretrained(
    folder, subfolder='transformer'
  )


@pytest.mark.parity
@pytest.mark.slow
def test_diffusers_loads_the_whole_model(whole):
  ours, theirs = velocities()
  model = transformer_of(whole.folder)
  assert distance(ours(whole.reference), theirs(model)) > 1e-3
  assert distance(ours(whole.policy), theirs(model)) < 1e-4


@pytest.mark.parity
@pytest.mark.slow
def test_diffusers_loads_adapters(adapted, tmp_path):
  ours, theirs = velocities()
  save_transformer(tmp_path, MMDIT, adapted.reference)
  model = transformer_of(tmp_path)
  assert distance(ours(adapted.reference), theirs(model)) < 2e-5
  model.load_lora_adapter(
    str(adapted.folder), use_safetensors=True, prefix='transformer'
  )
  assert distance(ours(adapted.reference), theirs(model)) > 1e-3
  assert distance(ours(adapted.policy), theirs(model)) < 1e-4


def test_without_a_run_there_is_nothing_to_export(tmp_path):
  flags = [*small_run.arguments(), '--mode=export', f'--workdir={tmp_path}']
  status, _, err = small_run.call(*flags)
  assert status == 2
  assert 'Expected a run with a checkpoint' in err
  assert not (tmp_path / 'export').exists()
