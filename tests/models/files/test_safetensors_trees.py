"""Saved weights come back bit for bit and sharded; bad files are refused."""

import json
import pickle

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from adrpo_jax import sharding
from adrpo_jax.errors import InputError
from adrpo_jax.models.files.safetensors_trees import (
  load_tree,
  read_metadata,
  save_tree,
)


@pytest.fixture
def tree():
  key = jax.random.key(0)
  return {
    'to_q': {'kernel': jax.random.normal(key, (8, 4)), 'bias': jnp.ones(4)},
    'norms': [jnp.arange(6, dtype=jnp.bfloat16), jnp.float32(2.5), None],
    'empty': jnp.zeros((0, 3)),
    'count': np.arange(6, dtype=np.int32).reshape(2, 3).T,
  }


@pytest.fixture
def path(tmp_path, tree):
  save_tree(tmp_path / 'w.safetensors', tree, {'config': '{"width": 4}'})
  return tmp_path / 'w.safetensors'


def shapes_of(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def assert_equal(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for a, b in zip(
    jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
  ):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_what_was_saved_is_loaded(tree, path):
  loaded = load_tree(path, shapes_of(tree))
  assert_equal(loaded, tree)
  assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(loaded))
  assert read_metadata(path) == {'config': '{"width": 4}'}
  assert [file.name for file in path.parent.iterdir()] == ['w.safetensors']


def test_tensors_are_read_straight_into_their_shards(tree, path):
  mesh = sharding.make_mesh(fsdp=4, tensor=2)
  shapes = shapes_of(tree)
  placement = sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))
  loaded = load_tree(path, placement)
  assert_equal(loaded, tree)
  kernel = loaded['to_q']['kernel']
  assert kernel.sharding == NamedSharding(mesh, P('fsdp', 'tensor'))
  assert kernel.addressable_shards[0].data.shape == (2, 2)


def test_a_sharded_tree_is_saved_whole(tree, path):
  spread = NamedSharding(sharding.make_mesh(), P('data'))
  save_tree(path, {'x': jax.device_put(jnp.arange(16.0), spread)})
  loaded = load_tree(path, {'x': jax.ShapeDtypeStruct((16,), jnp.float32)})
  np.testing.assert_array_equal(loaded['x'], np.arange(16.0))


def test_floats_are_cast_and_integers_are_not_taken_for_them(tree, path):
  shapes = shapes_of(tree)
  shapes['norms'][0] = jax.ShapeDtypeStruct((6,), jnp.float32)
  loaded = load_tree(path, shapes)
  assert loaded['norms'][0].dtype == np.float32
  np.testing.assert_array_equal(loaded['norms'][0], np.arange(6.0))
  shapes['count'] = jax.ShapeDtypeStruct((3, 2), jnp.float32)
  with pytest.raises(InputError) as raised:
    load_tree(path, shapes)
  assert 'count: expected float [3, 2], got integer [3, 2]' in str(raised.value)


def test_wrong_tensors_are_all_named(tree, path):
  shapes = shapes_of(tree)
  shapes['to_k'] = shapes.pop('to_q')
  shapes['norms'][0] = jax.ShapeDtypeStruct((7,), jnp.bfloat16)
  with pytest.raises(InputError) as raised:
    load_tree(path, shapes)
  text = str(raised.value)
  assert str(path) in text
  assert 'to_k/kernel (nearest in the file: to_q/kernel)' in text
  assert 'Not expected:\n  to_q/bias\n  to_q/kernel' in text
  assert 'norms/0: expected float [7], got float [6]' in text


@pytest.mark.parametrize('size', [0, 5, 40, -3])
def test_a_file_that_is_cut_short_is_said_to_be(tree, path, size):
  content = path.read_bytes()
  path.write_bytes(content[:size])
  with pytest.raises(InputError, match=r'cut short or damaged.*download'):
    load_tree(path, shapes_of(tree))


def test_pickles_are_refused_whatever_they_are_called(tmp_path):
  for name in ('m.bin', 'm.pt', 'm.pth', 'm.ckpt', 'm.pkl', 'm.safetensors'):
    (tmp_path / name).write_bytes(pickle.dumps({'w': [1.0]}))
    with pytest.raises(InputError, match=r'a pickle.*weights_only=True'):
      load_tree(tmp_path / name, {})
  (tmp_path / 'zip.safetensors').write_bytes(b'PK\x03\x04' + bytes(100))
  with pytest.raises(InputError, match='a pickle'):
    load_tree(tmp_path / 'zip.safetensors', {})


def test_a_missing_file_and_wrong_metadata_are_said(tmp_path, tree):
  with pytest.raises(InputError, match='found none'):
    load_tree(tmp_path / 'no.safetensors', {})
  with pytest.raises(InputError, match=r"\['config'\].*json.dumps"):
    save_tree(tmp_path / 'w.safetensors', tree, {'config': {'width': 4}})
  assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_old_file(tree, path, monkeypatch):
  old = path.read_bytes()

  def half(tensors, file, metadata):
    file.write_bytes(old[: len(old) // 2])
    raise OSError('no space left')

  monkeypatch.setattr(
    'adrpo_jax.models.files.safetensors_trees.save_file', half
  )
  with pytest.raises(OSError, match='no space'):
    save_tree(path, tree)
  assert path.read_bytes() == old
  assert [file.name for file in path.parent.iterdir()] == ['w.safetensors']


def test_the_file_is_plain_safetensors(tree, path):
  raw = path.read_bytes()
  header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], 'little')])
  assert header['to_q/kernel']['shape'] == [8, 4]
  assert header['norms/0']['dtype'] == 'BF16'
