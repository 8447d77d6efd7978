"""Programs for TPUs, compiled without any: a tiny model, the whole report."""

import dataclasses
import json
import pathlib
import sys

import jax
import pytest
import small_run

from adrpo_jax import sharding
from adrpo_jax.compile import costs, memory, programs
from adrpo_jax.compile import report as compile_report
from adrpo_jax.compile.chips import GIB
from adrpo_jax.errors import InputError
from adrpo_jax.models.tiny import clip as tiny_clip
from adrpo_jax.models.tiny import sd3 as sd3_tiny
from adrpo_jax.rewards import image_table


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A tiny SD3 with one block of each kind."""
  blocks = dataclasses.replace(sd3_tiny.TRANSFORMER, num_layers=2)
  return sd3_tiny.write(tmp_path_factory.mktemp('sd3'), blocks)


def make_config(folder, **changes):
  settings = {
    'model.path': str(folder),
    'model.resolution': 64,
    'model.t5_length': 16,
    'model.lora_rank': 2,
    'compute.decode_chunks': 2,
    'prompts.group_size': 4,
    'eval.batch_size': 4,
    'eval.guidance_scales': (4.5,),
    'sampler.steps': 2,
    'mesh.fsdp': 4,
  }
  given = {name.replace('__', '.'): v for name, v in changes.items()}
  return small_run.preset_config('sd3_medium', settings | given)


@pytest.fixture(scope='module')
def report(folder):
  """Of a tower of the tiny CLIP pair: a ViT-L/14 takes minutes to compile."""
  pytest.importorskip('libtpu')
  row = image_table.REWARDS['clip_score']._replace(tower=tiny_clip.VISION)
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(image_table.REWARDS, 'clip_score', row)
    return programs.compile_stages(make_config(folder), 'v5e:2x2', per_chip=2)


@pytest.mark.parametrize(
  ('topology', 'slices', 'axes'),
  [('v6e:8x8', 1, (4, 16, 1)), ('v5e:4x4', 2, (2, 16, 1))],
)
def test_an_axis_may_take_a_part_of_a_side_of_the_torus(topology, slices, axes):
  pytest.importorskip('libtpu')
  devices = programs.devices_of(topology, slices)
  mesh = sharding.make_mesh(fsdp=16, devices=devices)
  assert mesh.devices.shape == axes
  assert len(set(mesh.devices.flat)) == len(devices)


@pytest.mark.slow
def test_a_report_says_what_a_chip_needs(report):
  assert report['fits']
  assert report['chips'] == 4
  assert report['samples'] == 4 * 2 * 4
  assert {name: p['runs'] for name, p in report['programs'].items()} == {
    'rollout': 1,
    'decoding': 1,
    'reward': 1,
    'update': 1,
    'evaluation': 0,
  }
  for program in report['programs'].values():
    size = program['hbm_bytes']
    assert 0 < size['arguments'] < program['hbm_peak_bytes'] < 4 * GIB
    assert size['temporaries'] > 0
    assert 0 < size['alive'] < 4 * GIB
    seconds = program['roofline']['seconds']
    assert program['roofline']['bound'] == max(seconds, key=seconds.get)
    assert 0 < program['roofline']['mfu_bound'] <= 1
    assert program['largest_buffers'][0]['bytes'] > 0
  update = report['programs']['update']
  assert update['hbm_bytes']['donated'] > 0  # The state is given away.
  assert update['flops'] > update['model_flops']  # Layers are recomputed.
  assert json.loads(json.dumps(report)) == report


@pytest.mark.slow
def test_a_table_reads(report):
  text = compile_report.table(report)
  peak = max(p['hbm_peak_bytes'] for p in report['programs'].values()) / GIB
  assert f'\nfits: {peak:.2f}' in text
  assert 'v5e:2x2, 4 chips (data 1, fsdp 4, tensor 1), 32 samples' in text
  for name in ('rollout', 'reward', 'update'):
    assert f'\n{name}' in text


@pytest.mark.slow
def test_two_slices_keep_the_parameters_within_one(folder, monkeypatch):
  """In the update, which alone is compiled; the others take as long again."""
  pytest.importorskip('libtpu')
  stages_of = programs.stages_of
  monkeypatch.setattr(
    programs,
    'stages_of',
    lambda *arguments: {'update': stages_of(*arguments)['update']},
  )
  config = make_config(
    folder,
    model__lora_rank=0,
    reward__weights__clip_score=0.0,
    reward__weights__jpeg_compressibility=1.0,
  )
  found = programs.compile_stages(config, 'v5e:2x2', 2, per_chip=2)
  assert found['chips'] == 8
  assert found['mesh'] == {'data': 2, 'fsdp': 4, 'tensor': 1}
  update = found['programs']['update']
  gathers = [c for c in update['collectives'] if c['kind'] == 'all-gather']
  assert all(c['group'] <= 4 for c in gathers)
  # Gradients are added up over the network between slices.
  assert any(c['between_slices'] for c in update['collectives'])
  assert update['roofline']['seconds']['between_slices'] > 0


def test_a_family_without_shapes(folder):
  config = make_config(folder, model__family='world')
  pytest.importorskip('libtpu')
  with pytest.raises(InputError, match='family of models to compile for'):
    programs.compile_stages(config, 'v5e:2x2', per_chip=2)


def test_a_topology_that_there_is_not(folder):
  pytest.importorskip('libtpu')
  with pytest.raises(InputError, match='topology that libtpu knows'):
    programs.devices_of('v5e:3x77', 1)


def test_without_libtpu(monkeypatch):
  from jax.experimental import topologies

  def absent(**_):
    raise RuntimeError('no plugin')

  monkeypatch.setattr(topologies, 'get_topology_desc', absent)
  monkeypatch.setitem(sys.modules, 'libtpu', None)
  with pytest.raises(InputError, match=r"pip install 'adrpo_jax\[tpu\]'"):
    programs.devices_of('v5e:2x2', 1)


def test_a_program_that_is_too_large_has_its_size():
  message = (
    'RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required '
    'for HLO temporaries (40.44G) exceeds available HBM (15.75G).'
  )
  found = costs.refused_costs(jax.errors.JaxRuntimeError(message))
  assert found['hbm_peak_bytes'] == int(40.44 * GIB)
  other = jax.errors.JaxRuntimeError('INTERNAL: something else')
  with pytest.raises(jax.errors.JaxRuntimeError):
    costs.refused_costs(other)


class Lowered:
  """Writes the files that a compiler would dump."""

  def __init__(self, notes):
    self.notes = notes

  def compile(self, compiler_options):
    for name, text in self.notes.items():
      (pathlib.Path(compiler_options['xla_dump_to']) / name).write_text(text)
    return 'done'


USED = 'module_0000.jit_f.after_optimizations-memory-usage-report.txt'
LIVE = 'module_0000.jit_f.after_optimizations-live-range.txt'


def test_the_memory_is_what_the_compiler_notes():
  notes = {
    USED: (
      'Memory Space: default (color=0)\nTotal bytes: 2147521024 (2.00GiB)\n'
      'Memory Space: vmem (color=1)\nTotal bytes: 117440512 (112.00MiB)\n'
    ),
    LIVE: '  Stack trace breakdown for peak usage: 1 234 567 bytes\n',
    'module_0000.jit_f.after_codegen.txt': '',
  }
  program, memory_use = memory.compile_and_measure(Lowered(notes))
  assert program == 'done'
  assert memory_use == (2147521024, 1234567)


def test_a_compiler_that_notes_nothing_is_named():
  with pytest.raises(ValueError, match=r"memory-usage-report.*'other.txt'"):
    memory.compile_and_measure(Lowered({'other.txt': ''}))
