"""Checks adapters by hand, and that bad files of adapters are refused."""

import jax
import jax.numpy as jnp
import merged_lora
import numpy as np
import pytest
from safetensors.numpy import save_file

from adrpo_jax.errors import InputError
from adrpo_jax.models import lora
from adrpo_jax.models.files import lora_files
from adrpo_jax.models.files.weight_table import linear
from adrpo_jax.models.layers import Linear

ROWS = linear(r'blocks_(?P<first>\d+)/(?P<name>\w+)', 'layers.{layer}.{name}')
NAME = 'blocks_0/to_q/dense/kernel'
BASE = {'blocks_0': {'to_q': {'dense': {'kernel': jnp.zeros((2, 3, 4))}}}}


def test_attached_by_hand():
  """y = x·W + b + 0.5·(x·A)·B, with A and B of ones and r = 2."""
  layer = Linear(2)
  x = jnp.array([[1.0, 2.0, 3.0]])
  base = {
    'dense': {'kernel': jnp.arange(6.0).reshape(3, 2), 'bias': jnp.ones(2)}
  }
  pair = {'a': jnp.ones((3, 2)), 'b': jnp.ones((2, 2))}
  tree = lora.attach({'q': base}, {'q/dense/kernel': pair}, 0.5)
  y = layer.apply({'params': tree['q']}, x)
  # x·W = (16, 22); x·A = (6, 6); 0.5·(6 + 6) = 6.
  np.testing.assert_array_equal(y, [[16 + 1 + 6, 22 + 1 + 6]])
  merged = merged_lora.merge({'q': base}, {'q/dense/kernel': pair}, 0.5)
  np.testing.assert_array_equal(layer.apply({'params': merged['q']}, x), y)


def test_stacked_layers_have_stacked_adapters():
  adapters = lora.init(BASE, 5, jax.random.key(0))
  assert adapters[NAME]['a'].shape == (2, 3, 5)
  assert adapters[NAME]['b'].shape == (2, 5, 4)
  assert not adapters[NAME]['b'].any()
  spread = float(lora.init(BASE, 999, jax.random.key(0))[NAME]['a'].std())
  assert abs(spread * 999 - 1) < 0.05


@pytest.mark.parametrize(('rank', 'targets'), [(0, 'to_q'), (2, 'to_x')])
def test_no_rank_and_no_target(rank, targets):
  with pytest.raises(InputError, match='rank of at least 1 and targets'):
    lora.init(BASE, rank, jax.random.key(0), targets)


def _written(folder, **tensors):
  save_file(tensors, folder / lora_files.FILE)
  return folder


A, B = np.ones((2, 3), np.float32), np.ones((4, 2), np.float32)


def test_a_layer_that_the_file_leaves_out_is_zero(tmp_path):
  folder = _written(
    tmp_path,
    **{
      'transformer.layers.1.to_q.lora_A.weight': A,
      'transformer.layers.1.to_q.lora_B.weight': B,
    },
  )
  adapters = lora_files.load(folder, ROWS, BASE)
  merged = merged_lora.merge(BASE, adapters, 1.0)['blocks_0']['to_q']['dense']
  np.testing.assert_array_equal(merged['kernel'][0], np.zeros((3, 4)))
  np.testing.assert_array_equal(merged['kernel'][1], np.full((3, 4), 2.0))


@pytest.mark.parametrize(
  ('tensors', 'message'),
  [
    ({'layers.0.to_q.weight': A}, 'Expected adapters MODULE'),
    ({'layers.0.to_q.lora_A.weight': A}, 'only one half'),
    (
      {'layers.0.x.lora_A.weight': A, 'layers.0.x.lora_B.weight': B},
      'modules that the model has, got layers.0.x',
    ),
    (
      {'layers.0.to_q.lora_A.weight': A, 'layers.0.to_q.lora_B.weight': A},
      r'from 3 to 4 features, got A \[2, 3\] and B \[2, 3\]',
    ),
  ],
)
def test_what_is_wrong_with_a_file_is_said(tensors, message, tmp_path):
  with pytest.raises(InputError, match=message):
    lora_files.load(_written(tmp_path, **tensors), ROWS, BASE)
