"""The number of devices that share weights, by hand."""

import jax
import pytest
import small_run

from adrpo_jax import builders
from adrpo_jax.builders import mesh_rule, meshes
from adrpo_jax.builders.mesh_rule import Choice, Sizes, choose, counts_of
from adrpo_jax.errors import InputError
from adrpo_jax.system import device_memory

# An adapter of 1 beside a base of 12, with a decoder of 1.
LORA = Sizes(whole=1, frozen=12, trained=1, policy=13, anchors=0)
# All of a base of 12: gradients and state are ten times as large.
FULL = Sizes(whole=1, frozen=12, trained=119, policy=12, anchors=12)


@pytest.mark.parametrize(
  ('sizes', 'memory', 'tensor', 'choice'),
  [
    (LORA, 28, 1, Choice(1, 'update', 14)),  # just half of it
    # 1 + 13/2 = 7.5 of 8 are held by two, 1 + 13/4 by four; no copy fits.
    (LORA, 16, 1, Choice(2, 'layer', 7.5)),
    # 1 + 13/16 and a copy of 13 are more than ¾ · 18, and fit in ¾ · 20.
    (LORA, 18, 1, Choice(2, 'layer', 7.5)),
    (LORA, 20, 1, Choice(16, 'update', 1 + 13 / 16)),
    # One copy of 12 beside 1 + 131/16 fits in ¾ · 30, and two do not.
    (FULL, 30, 1, Choice(16, 'rollout', 1 + 131 / 16)),
    # Layers that two devices share: 1 + 13/2, and nothing to gather.
    (LORA, 15, 2, Choice(1, 'update', 7.5)),
    # 1 + 131/8 = 17.4 and two copies of 12 fit in ¾ · 60.
    (FULL, 60, 1, Choice(8, 'update', 1 + 131 / 8)),
    (FULL, 280, 1, Choice(1, 'update', 132)),
    # Nothing fits: what is closest.
    (FULL, 10, 1, Choice(16, 'layer', 1 + 131 / 16)),
  ],
)
def test_the_choice_by_hand(sizes, memory, tensor, choice):
  assert choose(sizes, memory, tensor, (1, 2, 4, 8, 16)) == choice


def test_more_memory_never_takes_more_devices():
  for gather in mesh_rule.GATHERS:
    chosen = [
      choose(FULL, memory, 1, (1, 2, 4, 8, 16), [gather]).fsdp
      for memory in range(10, 300)
    ]
    assert chosen == sorted(chosen, reverse=True)
    assert {chosen[0], chosen[-1]} == {16, 1}


@pytest.mark.parametrize(
  ('devices', 'slices', 'tensor', 'data', 'counts'),
  [
    (1, 1, 1, -1, [1]),
    (12, 1, 1, -1, [1, 2, 3, 4, 6, 12]),
    (8, 1, 2, -1, [1, 2, 4]),
    (512, 2, 64, -1, [1, 2, 4]),  # never between slices
    (8, 1, 1, 2, [4]),  # what data leaves
    (8, 1, 1, 3, []),
  ],
)
def test_counts_by_hand(devices, slices, tensor, data, counts):
  assert counts_of(devices, slices, tensor, data) == counts


class Chip:
  """A device that cannot be asked, as of a topology that is compiled for."""

  platform, slice_index, process_index = 'tpu', 0, 1

  def __init__(self, kind):
    self.device_kind = kind

  def memory_stats(self):
    raise jax.errors.JaxRuntimeError('only supported for addressable devices')


def chosen(preset, kind, count, rank):
  changes = {'model.lora_rank': rank}
  config = small_run.preset_config(preset, changes)
  assert config.mesh.fsdp == 0
  return meshes._chosen_fsdp(config, [Chip(kind)] * count)


@pytest.mark.parametrize(
  ('preset', 'kind', 'rank', 'fsdp'),
  [
    # 3.8 GiB of a base, 0.7 beside it.
    ('sd3_medium', 'TPU v5 lite', 32, 1),
    # 2.03 · 10⁹ weights: 4 bytes in master, average and two moments, 8 of
    # gradients, 2 of the reference: 49 GiB, and 7.6 of copies.
    ('sd3_medium', 'TPU v5 lite', 0, 16),
    ('sd3_medium', 'TPU v5', 0, 2),
    ('sd3_medium', 'TPU v6 lite', 0, 4),
  ],
)
def test_the_fsdp_of_stable_diffusion(preset, kind, rank, fsdp):
  got, line = chosen(preset, kind, 16, rank)
  assert got == fsdp
  assert f'mesh.fsdp is {fsdp}: weights then take' in line


def test_weights_that_no_devices_hold():
  with pytest.raises(InputError, match=r'Expected weights that 2 devices can'):
    chosen('sd3_medium', 'TPU v5 lite', 2, 0)


def test_memory_without_a_limit():
  config = small_run.preset_config('sd3_medium', {})
  lines = []
  mesh = builders.make_mesh(config, jax.devices()[:4], lines.append)
  assert dict(mesh.shape) == {'data': 4, 'fsdp': 1, 'tensor': 1}
  assert lines == ['mesh.fsdp is 1: the memory of a device has no known limit.']


def test_an_fsdp_of_ones_own_is_kept():
  config = small_run.preset_config('sd3_medium', {'mesh.fsdp': 2})
  mesh = builders.make_mesh(config, jax.devices(), pytest.fail)
  assert mesh.shape['fsdp'] == 2


def test_a_device_says_how_much_memory_it_has():
  class Asked(Chip):
    process_index = 0

    def memory_stats(self):
      return {'bytes_limit': 123}

  assert device_memory.memory_bytes(Asked('NVIDIA H100')) == 123
  # The same on all hosts, and where a topology is compiled for.
  for chip in Asked('TPU v4'), Chip('TPU v4'):
    assert device_memory.memory_bytes(chip) == 32 * 2**30
  assert device_memory.memory_bytes(jax.devices('cpu')[0]) is None
  own = Asked('NVIDIA H100')
  assert meshes._own([Chip('NVIDIA H100'), own]) is own
