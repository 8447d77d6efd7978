"""Places, meshes and cases of a study."""

import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.scaling.cases import Case, cases, parse_mesh, parse_place


@pytest.mark.parametrize(
  ('text', 'place'),
  [
    ('v5e:4x4', ('v5e:4x4', 1)),
    ('2xv5e:16x16', ('v5e:16x16', 2)),
    ('v5litepod-16', ('v5e:4x4', 1)),
    ('4xv6e-256', ('v6e:16x16', 4)),
  ],
)
def test_places(text, place):
  assert parse_place(text) == place


@pytest.mark.parametrize('text', ['v5e', 'v9:2x2', '0xv5e:2x2', '2x', ''])
def test_places_that_there_are_not(text):
  with pytest.raises(InputError):
    parse_place(text)


@pytest.mark.parametrize('text', ['', 'x2', '4x', 'fsdp4', '2x2x2'])
def test_meshes_that_there_are_not(text):
  with pytest.raises(InputError, match='FSDP or FSDPxTENSOR'):
    parse_mesh(text)


def test_each_mesh_at_each_place():
  listed = cases(['v5e:2x2', '2xv5e:4x4'], ['1', '4x2'], 3)
  assert [case.name for case in listed] == [
    'v5e_2x2_fsdp1_tensor1_3_a_chip',
    '2xv5e_4x4_fsdp1_tensor1_3_a_chip',
    'v5e_2x2_fsdp4_tensor2_3_a_chip',
    '2xv5e_4x4_fsdp4_tensor2_3_a_chip',
  ]
  assert cases(['v6e-8'], [], 0) == [Case('v6e:2x4', 1, {}, 0)]
  with pytest.raises(InputError, match='Expected --topologies='):
    cases([], [], 1)
