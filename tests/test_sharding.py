"""Rules by name, what cannot be divided, and rows of a batch."""

import jax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from made_state import assert_same_bits, made_state
import numpy as np
import pytest

from adrpo_jax import sharding
from adrpo_jax.errors import InputError


def specs(shapes, rules=sharding.RULES, **axes):
  told = []
  mesh = sharding.make_mesh(**axes)
  made = sharding.tree_shardings(shapes, mesh, rules, report=told.append)
  return jax.tree.map(lambda s: s.spec, made), told


def shape(*sizes):
  return jax.ShapeDtypeStruct(sizes, np.float32)


def test_data_takes_the_devices_that_are_left():
  mesh = sharding.make_mesh(fsdp=2, tensor=2)
  assert dict(mesh.shape) == {'data': 2, 'fsdp': 2, 'tensor': 2}
  assert mesh.axis_types == (AxisType.Auto,) * 3
  assert sharding.make_mesh(devices=jax.devices()[:3]).shape['data'] == 3


@pytest.mark.parametrize(
  'axes',
  [
    {'fsdp': 3},
    {'data': 4},
    {'data': 4, 'fsdp': 4},
    {'tensor': 16},
    {'fsdp': 0},
    {'data': 0},
    {'data': -2, 'fsdp': -4},
  ],
)
def test_a_mesh_that_does_not_fit_says_what_would(axes):
  with pytest.raises(InputError) as raised:
    sharding.make_mesh(**axes)
  for name, size in axes.items():
    assert f'{name}={size}' in str(raised.value)


def test_the_first_rule_counts_and_names_trailing_axes():
  shapes = {
    'to_q': {'dense': {'kernel': shape(16, 32), 'bias': shape(32)}},
    'to_out': {'dense': {'kernel': shape(32, 16)}},
    'conv': {'kernel': shape(3, 3, 16, 32)},
    'stack': {'kernel': shape(5, 16, 32)},
    'step': shape(),
  }
  made, told = specs(shapes, fsdp=2, tensor=2)
  assert made == {
    'to_q': {'dense': {'kernel': P('fsdp', 'tensor'), 'bias': P()}},
    'to_out': {'dense': {'kernel': P('tensor', 'fsdp')}},
    'conv': {'kernel': P(None, None, 'fsdp', 'tensor')},
    'stack': {'kernel': P(None, 'fsdp', 'tensor')},
    'step': P(),
  }
  assert told == []


def test_what_does_not_divide_stays_whole_and_is_reported():
  shapes = {'a': {'kernel': shape(6, 7)}, 'b': {'kernel': shape(5)}}
  made, told = specs(shapes, fsdp=2, tensor=2)
  assert made == {'a': {'kernel': P('fsdp')}, 'b': {'kernel': P()}}
  assert len(told) == 1
  assert '2 dimensions of 2 arrays stay whole' in told[0]
  assert 'a/kernel [6, 7]: tensor=2 on axis 1' in told[0]
  assert 'b/kernel [5] has fewer axes than' in told[0]


def test_several_mesh_axes_on_one_dimension_count_together():
  rules = [('w', P(('data', 'fsdp')))]
  assert specs({'w': shape(8)}, rules, fsdp=4)[0] == {'w': P(('data', 'fsdp'))}
  assert specs({'w': shape(4)}, rules, fsdp=4)[0] == {'w': P()}


def test_a_rule_with_an_unknown_axis_is_refused():
  with pytest.raises(InputError, match=r'model.*the axes'):
    specs({'w': shape(8)}, [('w', P('model'))])


@pytest.mark.parametrize('axes', [{'data': 8}, {'fsdp': 8}, {'tensor': 8}])
def test_a_state_made_in_place_is_the_same_on_any_mesh(axes):
  shapes = jax.eval_shape(made_state, 5)
  shardings = sharding.tree_shardings(shapes, sharding.make_mesh(**axes))
  state = jax.jit(made_state, out_shardings=shardings)(5)
  assert_same_bits(state, made_state(5))
  made = jax.tree.map(lambda x: x.sharding, state)
  assert jax.tree.leaves(made) == jax.tree.leaves(shardings)
  kernel = state.params['to_q']['kernel']
  ways = 1 if 'data' in axes else 8
  assert kernel.addressable_shards[0].data.size == kernel.size // ways
  moment = state.optimizer[1][0].mu['to_q']['kernel']
  assert moment.sharding == kernel.sharding


def test_a_batch_lies_over_data_and_fsdp():
  mesh = sharding.make_mesh(fsdp=2, tensor=2)
  rows = {'x': np.arange(24.0).reshape(8, 3), 'ids': [np.arange(8)]}
  batch = sharding.put_rows(mesh, rows)
  np.testing.assert_array_equal(batch['x'], rows['x'])
  np.testing.assert_array_equal(batch['ids'][0], np.arange(8))
  assert batch['x'].sharding == sharding.batch_sharding(mesh)
  assert {s.data.shape for s in batch['x'].addressable_shards} == {(2, 3)}


def test_host_arrays_go_to_their_shards():
  mesh = sharding.make_mesh(fsdp=4, tensor=2)
  tree = {'kernel': np.arange(32.0).reshape(8, 4), 'step': 3}
  made = sharding.tree_shardings(jax.eval_shape(lambda: tree), mesh)
  placed = sharding.put_tree(tree, made)
  np.testing.assert_array_equal(placed['kernel'], tree['kernel'])
  assert placed['kernel'].addressable_shards[0].data.shape == (2, 2)
  assert placed['step'] == 3
