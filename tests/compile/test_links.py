"""Links of a torus, by hand."""

import pytest

from adrpo_jax import sharding
from adrpo_jax.compile import chips, links, programs
from adrpo_jax.compile.hlo import Collective
from adrpo_jax.compile.replica_groups import first_group


def torus(*sides, kind='v5e'):
  """A torus whose devices are numbered with its last axis fastest."""
  places = [()]
  for side in sides:
    places = [(*place, i) for place in places for i in range(side)]
  return links.Torus(places, sides, chips.CHIPS[kind].rings(sides))


@pytest.mark.parametrize(
  ('kind', 'sides', 'rings'),
  [
    ('v5e', (8, 16), (False, True)),
    ('v6e', (16, 16, 1), (True, True, False)),
    ('v5p', (4, 4, 8), (True, True, True)),
    ('v5p', (2, 4, 4), (False, False, False)),
    ('v4', (2, 2, 2), (False, False, False)),
  ],
)
def test_sides_that_close_to_rings(kind, sides, rings):
  assert chips.CHIPS[kind].rings(sides) == rings


@pytest.mark.parametrize(
  ('sides', 'group', 'found'),
  [
    ((16, 16), [(i, 3) for i in range(16)], {'x': 2}),
    ((16, 16), [(i, 3) for i in range(4, 12)], {'x': 1}),
    ((8, 8), [(2, i) for i in range(8)], {'y': 1}),
    # Of 8 × 8, one side and a half of the other.
    ((8, 8), [(i, j) for i in range(8) for j in range(2)], {'x': 1, 'y': 1}),
    # Every second chip: two groups pass the same links.
    ((16, 8), [(i, 0) for i in range(0, 16, 2)], {'x': 1}),
    ((4, 4), [(0, 0), (0, 2)], {'y': 0.5}),
    ((4, 4), [(0, 0), (1, 0), (1, 1)], {'x': 1}),  # no box
    ((4, 4), [(1, 1), (1, 1)], {}),  # two devices of a chip
  ],
)
def test_links_that_a_group_uses(sides, group, found):
  assert links.links_of(group, torus(*sides)) == found


def test_bytes_of_a_link():
  """A line of 8; a ring of 16, where half of the bytes go either way."""
  gather = Collective('all-gather', 8, 700.0, 3, members=tuple(range(8)))
  assert links.link_bytes(gather, torus(8, 8)) == {'y': 700.0}
  gather = gather._replace(members=tuple(range(16)))
  assert links.link_bytes(gather, torus(16, 16)) == {'y': 350.0}
  # All chips of 4 × 4: a corner has a link of either axis.
  assert links.link_bytes(gather, torus(4, 4)) == {'x': 350.0, 'y': 350.0}


def test_an_all_to_all_passes_through_chips_between():
  """On a line of 8 with V = 8 bytes each, 4 · 4 cross the middle link.

  Four chips on its left each send one byte to each of four on its right: 16,
  of V · n / 4 = 16 without the (n − 1)/n that the chip keeps.
  """
  every = Collective('all-to-all', 8, 7 / 8 * 8, 1, members=tuple(range(8)))
  (load,) = links.link_bytes(every, torus(8, 8)).values()
  assert load == 16 * 7 / 8


def test_axes_of_a_program_add_up():
  along_y = Collective('all-gather', 4, 10.0, 5, members=(0, 1, 2, 3))
  along_x = Collective('all-reduce', 4, 6.0, 1, members=(0, 4, 8, 12))
  both = Collective('all-reduce', 16, 8.0, 1, members=tuple(range(16)))
  loads = links.axis_loads([along_y, along_x, both], torus(4, 4))
  assert loads == {'x': 6 + 4, 'y': 50 + 4}


@pytest.mark.parametrize(
  ('text', 'members'),
  [
    ('replica_groups={{1,3},{0,2}}', (1, 3)),
    ('replica_groups=[2,4]<=[8]', (0, 1, 2, 3)),
    ('replica_groups=[4,2]<=[2,2,2]T(0,2,1)', (0, 2)),
    ("replica_groups=mesh['a'=2,'b'=4] {'a'}", (0, 4)),
    ("replica_groups=mesh['a'=2,'b'=4] {'a','b'}", tuple(range(8))),
    (
      "replica_groups=mesh['a'=4,'b'=1,'c'=2], device_ids=([2,4]T(1,0)) {'c'}",
      (0, 4),
    ),
    ("replica_groups=mesh['a'=2,'b'=4] {'b':(1)2}", (0, 2)),
    ("replica_groups=mesh['a'=2,'b'=4] {'b':(2)2}", (0, 1)),
    ('source_target_pairs={{0,0},{1,2},{2,3},{3,1}}', (1, 2, 3)),
    ('source_target_pairs={{0,0}}', (0,)),
    ('dimensions={0}', tuple(range(8))),
  ],
)
def test_groups_in_all_notations(text, members):
  assert first_group(f'%x), {text}, to_apply=%sum', 8) == members


def test_the_links_of_a_mesh_on_a_chip():
  """An axis of 16 on 8 × 8 chips of v6e; on 16 × 16 of v5e a ring."""
  pytest.importorskip('libtpu')
  for topology, found in (
    ('v6e:8x8', {'x': 1, 'y': 1}),
    ('v5e:16x16', {'x': 2}),
  ):
    mesh = sharding.make_mesh(fsdp=16, devices=programs.devices_of(topology, 1))
    own = links.torus_of(list(mesh.devices.flat), chips.chip_of(topology))
    assert links.links_of(own.places[:16], own) == found
