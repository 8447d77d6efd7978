"""Slices by their names, and the devices that libtpu gives them."""

import pytest

from adrpo_jax.compile import chips, programs
from adrpo_jax.errors import InputError
from adrpo_jax.system.peak_flops import PEAK_FLOPS


@pytest.mark.parametrize(
  ('name', 'topology'),
  [
    ('v5litepod-1', 'v5e:1x1'),
    ('v5litepod-16', 'v5e:4x4'),
    ('v5e-256', 'v5e:16x16'),
    ('v6e-8', 'v6e:2x4'),
    ('v5p-8', 'v5p:2x2x1'),
    ('v5p-1024', 'v5p:8x8x8'),
    ('v4-32', 'v4:2x2x4'),
    ('v5e:4x8', 'v5e:4x8'),
  ],
)
def test_an_accelerator_type_is_a_topology(name, topology):
  assert chips.topology_of(name) == topology


@pytest.mark.parametrize(
  ('name', 'said'),
  [
    ('v5litepod-12', 'v5litepod-8, v5litepod-16'),
    ('v5p-4', 'v5p-8, v5p-16'),
    ('v7-8', "Unknown kind of TPU 'v7'"),
  ],
)
def test_a_slice_that_nobody_offers(name, said):
  with pytest.raises(InputError, match=said):
    chips.topology_of(name)


@pytest.mark.parametrize('name', ['v5e', 'v9:2x2', ''])
def test_an_unknown_topology(name):
  with pytest.raises(InputError):
    chips.chip_of(name)


@pytest.mark.parametrize(
  ('topology', 'count'),
  [
    ('v5e:1x1', 1),  # Colab and Kaggle
    ('v6e:1x1', 1),
    ('v5e:2x4', 8),
    ('v4:2x2x2', 8),
    ('v5p:2x2x1', 4),
    ('tpu7x:2x2x1', 4),
  ],
)
def test_chips_of_a_topology(topology, count):
  pytest.importorskip('libtpu')
  devices = programs.devices_of(topology, 1)
  chip = chips.chip_of(topology)
  assert len(devices) == count * chip.devices
  assert PEAK_FLOPS[devices[0].device_kind] == chip.flops
