"""Fields of a config by their types: what is read, and what is refused."""

import dataclasses
import json
import struct
from typing import Annotated

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.models.config_types import Between, Items, OneOf
from adrpo_jax.models.files.config_files import (
  config_from_fields,
  described,
  matches_type,
  read_config,
  shown,
)
from adrpo_jax.models.files.tensor_files import tensor_files


@dataclasses.dataclass(frozen=True)
class Config:
  size: Annotated[int, Between(1, 9)]
  scale: Annotated[float, Between(0, 2)]
  act: Annotated[str, OneOf(['relu', 'gelu'])]
  parts: Annotated[tuple[Annotated[int, Between(1, 9)], ...], Items(1, 2)]
  tied: bool

  def __post_init__(self):
    if self.size % self.parts[0]:
      raise ValueError('Expected parts that divide the size.')


FIELDS = {'size': 6, 'scale': 1, 'act': 'relu', 'parts': [2], 'tied': True}


def read(path, **changes):
  return config_from_fields(Config, FIELDS | changes, path)


def test_values_get_the_types_of_their_fields(tmp_path):
  config = read(tmp_path, more='is not read')
  assert config == Config(6, 1.0, 'relu', (2,), True)
  assert type(config.scale) is float


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'size': 0}, 'size in .* a whole number from 1 to 9, got 0'),
    ({'size': 10**40}, 'size in'),
    ({'size': 6.0}, r'got 6\.0'),
    ({'size': True}, 'got True'),
    ({'size': None}, r"the fields \['size'\]"),
    ({'scale': '1'}, "scale in .* a number from 0 to 2, got '1'"),
    ({'scale': float('nan')}, 'got nan'),
    ({'scale': float('inf')}, 'got inf'),
    ({'scale': 10**400}, 'got 1000'),
    ({'scale': False}, 'got False'),
    ({'act': 'tanh'}, "act in .* relu or gelu, got 'tanh'"),
    ({'act': ['relu']}, 'relu or gelu, got'),
    ({'parts': []}, r'a list of 1 to 2 items, each .* got \[\]'),
    ({'parts': [1, 1, 1]}, 'a list of 1 to 2 items'),
    ({'parts': [0]}, 'each item a whole number from 1 to 9'),
    ({'parts': {'1': 1}}, 'a list of'),
    ({'parts': 2}, 'got 2'),
    ({'tied': 1}, 'true or false, got 1'),
    ({'parts': [4]}, r'parts that divide the size\. It stands in .*where'),
  ],
  ids=str,
)
def test_what_a_type_does_not_allow_is_refused(changes, said, tmp_path):
  with pytest.raises(InputError, match=said):
    read(tmp_path / 'where', **changes)


def test_a_default_takes_the_place_of_what_is_absent_or_null(tmp_path):
  fields = {k: v for k, v in FIELDS.items() if k != 'size'} | {'scale': None}
  defaults = {'size': 4, 'scale': 0.5, 'act': 'gelu', 'unknown': 1}
  config = config_from_fields(Config, fields, tmp_path, defaults)
  assert (config.size, config.scale, config.act) == (4, 0.5, 'relu')


def test_types_in_words():
  assert matches_type(3, float)
  assert not matches_type(True, int)
  assert described(tuple[float, ...]) == 'a list, each item a number'
  assert len(shown('x' * 10**6)) <= 100
  assert len(shown([['x' * 1000] * 1000] * 1000)) < 5000


@pytest.mark.parametrize(
  'content',
  [
    b'{"a": ' * 100_000,
    b'[' * 100_000 + b']' * 100_000,
    b'\xff\xfe{}',
    b'{"a": 1',
    b'',
    b'{"a": ' + b'9' * 5000 + b'}',
    b'null',
  ],
  ids=['deep', 'deep list', 'utf-16', 'cut', 'empty', 'digits', 'null'],
)
def test_a_damaged_config_is_named(content, tmp_path):
  path = tmp_path / 'config.json'
  path.write_bytes(content)
  with pytest.raises(InputError, match=r'Expected .*config\.json'):
    read_config(path)


def test_a_folder_in_place_of_a_config_is_named(tmp_path):
  with pytest.raises(InputError, match='Expected JSON in'):
    read_config(tmp_path)


def write_header(path, tensors, size):
  header = json.dumps(tensors).encode()
  path.write_bytes(struct.pack('<Q', len(header)) + header + bytes(size))


@pytest.mark.parametrize(
  ('dtype', 'shape', 'size', 'said'),
  [
    ('F32', [1] * 300, 4, 'at most 64 axes .* x has 300'),
    ('F8_E4M3', [4], 4, 'x is of F8_E4M3.* the plain release'),
    ('F8_E8M0', [4], 4, 'the plain release'),
    ('F4', [8], 4, 'the plain release'),
    ('C64', [1], 8, 'x is of C64'),
    ('F32', [-1], 4, 'cut short or damaged'),
    ('F32', [2**63, 2**63], 4, 'cut short or damaged'),
  ],
)
def test_tensors_that_cannot_be_read(dtype, shape, size, said, tmp_path):
  tensor = {'dtype': dtype, 'shape': shape, 'data_offsets': [0, size]}
  write_header(tmp_path / 'model.safetensors', {'x': tensor}, size)
  with pytest.raises(InputError, match=said), tensor_files(tmp_path):
    pass


@pytest.mark.parametrize(
  'content',
  [
    '[' * 100_000,
    '{"weight_map": [1]}',
    '{"weight_map": {"x": 1}}',
    '{"weight_map": {"x": null}}',
    '{"weight_map": {"x": "../other/model.safetensors"}}',
    '{"weight_map": {"x": {"y": 1}}}',
    '[]',
  ],
  ids=range(7),
)
def test_a_damaged_index_is_named(content, tmp_path):
  (tmp_path / 'model.safetensors.index.json').write_text(content)
  with (
    pytest.raises(InputError, match=r'weight_map.*index\.json'),
    tensor_files(tmp_path),
  ):
    pass
