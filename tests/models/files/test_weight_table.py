"""Weights load through a table into shards, with clear errors."""

import json

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import pytest
from safetensors.numpy import save_file

from adrpo_jax import sharding
from adrpo_jax.errors import InputError
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.files.weight_table import (
  CONV1X1,
  CONV2D,
  Row,
  linear,
  patches,
)

RNG = np.random.default_rng(0)


def numbers(*shape):
  return RNG.normal(size=shape).astype(np.float32)


TENSORS = {
  'layers.3.q.weight': numbers(8, 16),
  'layers.3.q.bias': numbers(8),
  'layers.4.q.weight': numbers(8, 16),
  'layers.4.q.bias': numbers(8),
  'scale': numbers(),
}
ROWS = (
  *linear(r'blocks_(?P<first>\d+)/(?P<name>\w)', 'layers.{layer}.{name}'),
  Row('scale', 'scale'),
)


def shapes_of(mesh=None, dtype=jnp.float32):
  def leaf(spec, *shape):
    named_sharding = mesh and NamedSharding(mesh, PartitionSpec(*spec))
    return jax.ShapeDtypeStruct(shape, dtype, sharding=named_sharding)

  dense = {
    'kernel': leaf((None, 'fsdp', 'tensor'), 2, 16, 8),
    'bias': leaf((), 2, 8),
  }
  return {'blocks_3': {'q': {'dense': dense}}, 'scale': leaf(())}


def test_a_stack_loads_and_goes_back(tmp_path):
  save_file(TENSORS, tmp_path / 'model.safetensors')
  with tensor_files(tmp_path) as files:
    tree = weight_table.load(files, ROWS, shapes_of())
  kernel = tree['blocks_3']['q']['dense']['kernel']
  np.testing.assert_array_equal(kernel[1], TENSORS['layers.4.q.weight'].T)
  back = weight_table.to_hf(ROWS, tree)
  assert back.keys() == TENSORS.keys()
  for name, tensor in TENSORS.items():
    np.testing.assert_array_equal(back[name], tensor)


def test_sharded_and_cast_is_the_same(tmp_path):
  save_file(TENSORS, tmp_path / 'model.safetensors')
  mesh = sharding.make_mesh(1, 4, 2)
  with tensor_files(tmp_path) as files:
    full = weight_table.load(files, ROWS, shapes_of(dtype=jnp.bfloat16))
    split = weight_table.load(files, ROWS, shapes_of(mesh, jnp.bfloat16))
  kernel = split['blocks_3']['q']['dense']['kernel']
  assert kernel.addressable_shards[0].data.shape == (2, 4, 4)
  for a, b in zip(*map(jax.tree.leaves, (full, split)), strict=True):
    assert b.dtype == jnp.bfloat16
    np.testing.assert_array_equal(a, b)


def test_a_slice_reads_no_more_than_it_needs(tmp_path):
  save_file(TENSORS, tmp_path / 'model.safetensors')
  shapes_read = []
  with tensor_files(tmp_path) as files:
    read = files.read

    def watched(name, index=()):
      array = read(name, index)
      shapes_read.append(array.shape)
      return array

    files.read = watched
    weight_table.load(files, ROWS, shapes_of(sharding.make_mesh(1, 4, 2)))
  assert (4, 4) in shapes_read  # [out, in] of one device's part
  assert (8, 16) not in shapes_read


@pytest.mark.parametrize(
  ('axes', 'theirs', 'ours'),
  [
    (CONV2D, (5, 3, 2, 4), (2, 4, 3, 5)),
    (CONV1X1, (5, 3, 1, 1), (3, 5)),
    (patches(2), (5, 3, 2, 2), (12, 5)),
  ],
)
def test_convolutions(axes, theirs, ours, tmp_path):
  tensor = numbers(*theirs)
  save_file({'w': tensor}, tmp_path / 'model.safetensors')
  rows = (Row('k', 'w', axes),)
  shapes = {'k': jax.ShapeDtypeStruct(ours, jnp.float32)}
  with tensor_files(tmp_path) as files:
    tree = weight_table.load(files, rows, shapes)
  # By hand: the axes (h, w, in) of a patch are flat, channels fastest.
  hand = np.einsum('oihw->hwio', tensor).reshape(ours)
  np.testing.assert_array_equal(tree['k'], hand)
  np.testing.assert_array_equal(weight_table.to_hf(rows, tree)['w'], tensor)


def test_a_part_of_a_fused_tensor(tmp_path):
  fused = numbers(12, 6)
  save_file({'qkv': fused}, tmp_path / 'model.safetensors')
  rows = [
    Row(name, 'qkv', weight_table.LINEAR, (i, 3))
    for i, name in enumerate('qkv')
  ]
  split = NamedSharding(
    sharding.make_mesh(4, 2, 1), PartitionSpec('fsdp', 'data')
  )
  leaf = jax.ShapeDtypeStruct((6, 4), jnp.float32, sharding=split)
  with tensor_files(tmp_path) as files:
    tree = weight_table.load(files, rows, dict.fromkeys('qkv', leaf))
  np.testing.assert_array_equal(tree['k'], fused[4:8].T)
  np.testing.assert_array_equal(tree['v'], fused[8:].T)
  with pytest.raises(ValueError, match='part of a fused tensor'):
    weight_table.to_hf(rows, tree)


def _sharded(folder, parts):
  names = {}
  for number, tensors in enumerate(parts):
    file = f'model-{number}.safetensors'
    save_file(tensors, folder / file)
    names |= dict.fromkeys(tensors, file)
  index = folder / 'model.safetensors.index.json'
  index.write_text(json.dumps({'weight_map': names}))
  return index


def _halves():
  names = list(TENSORS)
  return [{n: TENSORS[n] for n in part} for part in (names[:2], names[2:])]


def test_a_sharded_set_is_the_single_file(tmp_path):
  _sharded(tmp_path, _halves())
  with tensor_files(tmp_path) as files:
    tree = weight_table.load(files, ROWS, shapes_of())
  np.testing.assert_array_equal(tree['scale'], TENSORS['scale'])


def _no_folder(folder):
  folder.rmdir()


def _nothing(folder):
  (folder / 'README.md').touch()


def _pickle(folder):
  (folder / 'pytorch_model.bin').write_bytes(b'PK\x03\x04')


def _truncated(folder):
  file = folder / 'model.safetensors'
  save_file(TENSORS, file)
  file.write_bytes(file.read_bytes()[:-10])


def _missing_shard(folder):
  _sharded(folder, _halves())
  (folder / 'model-1.safetensors').unlink()


def _broken_index(folder):
  (folder / 'model.safetensors.index.json').write_text('{"weights": 1}')


def _wrong_index(folder):
  index = _sharded(folder, _halves())
  written = json.loads(index.read_text())
  written['weight_map']['scale'] = 'model-0.safetensors'
  index.write_text(json.dumps(written))


def _misnamed(folder):
  tensors = dict(TENSORS)
  tensors['layers.3.q.weights'] = tensors.pop('layers.3.q.weight')
  save_file(tensors, folder / 'model.safetensors')


def _misshapen(folder):
  save_file(
    TENSORS | {'layers.3.q.bias': numbers(9)}, folder / 'model.safetensors'
  )


def _integers(folder):
  bias = np.zeros(8, np.int32)
  save_file(TENSORS | {'layers.3.q.bias': bias}, folder / 'model.safetensors')


def _quantized(folder):
  tensors = {n: t for n, t in TENSORS.items() if n != 'layers.3.q.weight'}
  packed = np.zeros((1, 8), np.int32)
  save_file(
    tensors | {'layers.3.q.qweight': packed}, folder / 'model.safetensors'
  )


@pytest.mark.parametrize(
  ('spoil', 'message'),
  [
    (_no_folder, 'Expected a folder of weights'),
    (_nothing, r'found .*README\.md'),
    (_pickle, 'a pickle'),
    (_truncated, 'cut short or damaged'),
    (_missing_shard, r'model-1\.safetensors, found none'),
    (_broken_index, 'weight_map'),
    (_wrong_index, r'says that model-0\.safetensors holds scale'),
    (_misnamed, r'nearest in the file: layers\.3\.q\.weights'),
    (_misshapen, r'layers\.3\.q\.bias: expected float \[8\], got float \[9\]'),
    (_integers, 'expected float .* got integer'),
    (_quantized, r'q\.qweight: the model is quantized\. Take the plain'),
  ],
  ids=lambda value: getattr(value, '__name__', ''),
)
def test_what_is_wrong_is_said(spoil, message, tmp_path):
  folder = tmp_path / 'folder'
  folder.mkdir()
  spoil(folder)
  with pytest.raises(InputError, match=message), tensor_files(folder) as files:
    weight_table.load(files, ROWS, shapes_of())
