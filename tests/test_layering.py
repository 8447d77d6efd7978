"""Imports run one way, and none leads to PyTorch or TensorFlow."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / 'adrpo_jax'
# A part imports itself and what stands in the lines above it, nothing else.
LAYERS = [
  'errors stats types',
  'diagnostics figures method sampling system tree_names worlds',
  'checkpoint data models sharding update',
  'metrics modalities preferences rewards samples',
  'evaluate experience pretrain report scoring',
  'builders train',
  'commands',
  'main',
  'compare compile',
  'scaling',
  'console',
]
LEVEL = {part: i for i, line in enumerate(LAYERS) for part in line.split()}
FILES = sorted(PACKAGE.rglob('*.py'))
# The rooms at the bottom of a part, with the only siblings that each imports.
ROOMS = {
  'models/files': '',
  'models/clip': 'compute config_types layers',
  'models/decoder': (
    'attention_masks compute config_types files layers products'
  ),
  'models/audio': 'compute config_types decoder files layers products',
  'models/omni': 'audio config_types decoder files',
  'rewards/text': '',
  'rewards/clip': 'protocol',
  'rewards/host': 'overlap protocol',
  'rewards/remote': 'text',
}


def imported(tree):
  """Full names of all that is imported, inside functions and by string too."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, 'The package names its imports in full.'
      yield from (f'{node.module}.{alias.name}' for alias in node.names)
    elif isinstance(node, ast.Call) and 'import_' in ast.dump(node.func):
      yield from (a.value for a in node.args if isinstance(a, ast.Constant))


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_imports_run_one_way(file):
  names = [name.split('.') for name in imported(ast.parse(file.read_text()))]
  assert not {'torch', 'tensorflow'} & {name[0] for name in names}
  own = file.relative_to(PACKAGE).with_suffix('').parts[0]
  parts = {name[1] for name in names if name[0] == 'adrpo_jax'} - {own}
  if own != '__init__':  # the front door, which no part uses
    assert max((LEVEL[part] for part in parts), default=-1) < LEVEL[own], parts


def test_every_part_has_its_place():
  found = {file.relative_to(PACKAGE).with_suffix('').parts[0] for file in FILES}
  assert found - {'__init__'} == set(LEVEL)


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_no_sibling_above_it(room):
  part, name = room.split('/')
  files = sorted((PACKAGE / room).rglob('*.py'))
  assert files, f'There is no room {room}.'
  for file in files:
    names = [n.split('.') for n in imported(ast.parse(file.read_text()))]
    siblings = {n[2] for n in names if n[:2] == ['adrpo_jax', part]} - {name}
    assert siblings <= set(ROOMS[room].split()), file
