"""A study: resumable, with a compiler by a formula; its tables and its plot."""

import io
import json
import sys

from absl.testing import flagsaver
from etils import epath
import jax
from PIL import Image
import pytest

from adrpo_jax.compile.chips import GIB, chip_of
from adrpo_jax.compile.programs import fits
from adrpo_jax.errors import InputError
from adrpo_jax.scaling import __main__ as command
from adrpo_jax.scaling.bounds import KINDS, bounds_of
from adrpo_jax.scaling.cases import Case
from adrpo_jax.scaling.measured import measured, run_arguments
from adrpo_jax.scaling.on_devices import FirstDevices
from adrpo_jax.scaling.table import measured_table
from adrpo_jax.system import records

CONFIG = '--config=configs/t2i.py:sd3_medium'
CHIPS = {'v5e:2x2': 4, 'v5e:4x4': 16}


def program(seconds, *, runs=1, hbm=4, link=GIB):
  return {
    'runs': runs,
    'hbm_peak_bytes': hbm * GIB,
    'beside_bytes': 0,
    'link_bytes': {'x': link, 'y': link // 2},
    'collective_bytes': 2 * link,
    'model_flops': 197e12,
    'roofline': {'seconds': dict(zip(KINDS, seconds, strict=True))},
  }


class Compiler:
  """Programs of known seconds; memory falls with the devices that share it."""

  def __init__(self):
    self.calls = []

  def __call__(self, config, case):
    self.calls.append(case.name)
    if case.topology == 'v6e:2x2':
      raise InputError('Expected a batch of 3.')
    fsdp = case.mesh.get('fsdp', 4)
    programs = {
      'rollout': program((1, 0.5, 0.1, 0), runs=2),
      'decoding': program((0, 0.25, 0, 0), runs=2),
      'update': program((2, 1, 3, 0), hbm=32 // fsdp),
      'evaluation': program((9, 9, 9, 9), runs=0),
    }
    chip = chip_of(case.topology)
    chips = CHIPS[case.topology] * case.slices
    return {
      'fits': fits(programs, chip.hbm),
      'chips': chips,
      'devices': chips,
      'samples': 8 * chips,
      'mesh': {'data': chips // fsdp, 'fsdp': fsdp, 'tensor': 1},
      'hbm_capacity_bytes': chip.hbm,
      'hbm_peak_bytes': 32 // fsdp * GIB,
      'peak_flops': chip.flops,
      'programs': programs,
    }


def run(*flags, compiled=None):
  """The status of a command, and what it said of an error."""
  words = ['adrpo_jax.scaling', CONFIG, *flags]
  saved = flagsaver.save_flag_values()
  error = io.StringIO()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, 'argv', words)
    patch.setattr(sys, 'stderr', error)
    try:
      return command.run(words, compiled or Compiler()), error.getvalue()
    finally:
      flagsaver.restore_flag_values(saved)


def test_the_bounds_of_a_step_by_hand():
  """Rollout and decoding run twice, an evaluation not in every step.

  2·1 and 2·0.25 s, then 3 s, of which the operations of five executions take a
  second each.
  """
  case = Case('v5e:2x2', 1, {'fsdp': 4, 'tensor': 1}, 1)
  bounds = bounds_of('sd3', case, {'report': Compiler()(None, case)})
  assert bounds.stages == {'rollout': 2.5, 'reward': 0, 'update': 3}
  assert bounds.kinds == {
    'compute': 4,
    'memory': 2.5,
    'interconnect': 3.2,
    'between_slices': 0,
  }
  assert (bounds.seconds, bounds.speed) == (5.5, 32 / 5.5)
  assert bounds.link == 5 * GIB
  assert bounds.sent == 10 * GIB
  assert bounds.mfu == pytest.approx(5 / 5.5)
  assert (bounds.place, bounds.mesh) == ('v5e:2x2', 'fsdp 4')


def test_a_study_is_written_and_goes_on(tmp_path):
  compiler = Compiler()
  flags = [f'--output={tmp_path}', '--mode=weak', '--mesh=1,4']
  places = '--topologies=v5e:2x2,v5e:4x4'
  assert run(*flags, places, compiled=compiler) == (0, '')
  assert len(compiler.calls) == 4
  text = (tmp_path / 'scaling.md').read_text()
  assert '| v5e:4x4 | data 4, fsdp 4 | 16 | 128 | 8.0 of 16 |' in text
  assert '32.0 of 16, **does not fit** |' in text
  for name in ('scaling.png', 'scaling_dark.png'):
    assert Image.open(tmp_path / name).size[0] > 1000
  stored = json.loads((tmp_path / 'scaling.json').read_text())
  assert [row['samples_per_second'] for row in stored['bounds'][2:]] == [
    pytest.approx(32 / 5.5),
    pytest.approx(128 / 5.5),
  ]
  # One place more: the others are read. A damaged file is made again.
  (tmp_path / 'v5e_4x4_fsdp4_tensor1_2_a_chip.json').write_text('{"repor')
  assert run(*flags, f'{places},2xv5e:4x4', compiled=compiler)[0] == 0
  assert compiler.calls[4:] == [
    '2xv5e_4x4_fsdp1_tensor1_2_a_chip',
    'v5e_4x4_fsdp4_tensor1_2_a_chip',
    '2xv5e_4x4_fsdp4_tensor1_2_a_chip',
  ]
  # Another config is another study.
  one = ['--topologies=v5e:2x2', '--mesh=1']
  assert run(*flags[:2], *one, compiled=compiler)[0] == 0
  assert len(compiler.calls) == 7
  changed = '--config.sampler.steps=5'
  assert run(*flags[:2], *one, changed, compiled=compiler)[0] == 0
  assert len(compiler.calls) == 8


def test_a_place_that_the_config_does_not_fit_is_told(tmp_path):
  places = '--topologies=v5e:2x2,v6e:2x2'
  assert run(f'--output={tmp_path}', places)[0] == 0
  text = (tmp_path / 'scaling.md').read_text()
  place = 'sd3_medium, LoRA, 512², v6e:2x2 (mesh of the config)'
  assert f'{place}: Expected a batch of 3.' in text


def test_reports_that_are_compiled_make_a_study(tmp_path):
  compiler = Compiler()
  config = {'model': {'architecture': 'sd3_medium', 'lora_rank': 0}}
  files = []
  for topology in ('v5e:4x4', 'v5e:2x2'):
    report = compiler(None, Case(topology, 1, {'fsdp': 4, 'tensor': 1}, 1))
    report |= {'topology': topology, 'num_slices': 1, 'config': config}
    files.append(tmp_path / f'{topology[4:]}.json')
    files[-1].write_text(json.dumps(report))
  flag = f'--reports={",".join(map(str, files))}'
  assert run(f'--output={tmp_path}', flag) == (0, '')
  first, second = (tmp_path / 'scaling.md').read_text().splitlines()[4:]
  assert first.startswith('| sd3_medium, full | v5e:2x2 | fsdp 4 | 4 |')
  assert second.startswith('| sd3_medium, full | v5e:4x4 | data 4, fsdp 4 |')
  del report['programs']['update']['link_bytes']
  files[0].write_text(json.dumps(report))
  status, error = run(f'--output={tmp_path}', flag)
  assert status == 2
  assert "4x4.json (KeyError('link_bytes')). Compile it anew." in error


@pytest.mark.parametrize(
  ('flags', 'said'),
  [
    ([], 'got neither'),
    (['--topologies=v9:2x2'], "Unknown kind of TPU 'v9'"),
    (['--topologies=v5e:2x2', '--mesh=a'], 'FSDP or FSDPxTENSOR'),
    (
      ['--topologies=v5e:2x2', '--mode=strong', '--prompts_per_chip=2'],
      'no --prompts_per_chip with --mode=strong',
    ),
    (['--measure', '--devices=1,none'], 'Expected --devices=1,2,4'),
    (['--measure', '--config.sampler.step=2'], 'sampler.steps'),
  ],
)
def test_what_is_refused(tmp_path, flags, said):
  status, error = run(f'--output={tmp_path}', *flags)
  assert status == 2
  assert said in error


def test_measured_seconds_stand_beside_the_bounds(tmp_path):
  """The first step compiles; of three others the median counts."""
  workdir = tmp_path / 'run'
  workdir.mkdir()
  config = {'prompts': {'prompts_per_step': 4, 'group_size': 8}}
  records.write_json(
    epath.Path(workdir / 'config.json'), {'config': config, 'device': 'v5e x4'}
  )
  for step, seconds in enumerate((100.0, 3.0, 2.0, 7.0)):
    line = {'step': step} | dict.fromkeys(
      ('seconds_rollout', 'seconds_update', 'seconds_host'), seconds
    )
    records.append_json(epath.Path(workdir / 'metrics.jsonl'), line)
  row = measured(workdir, 4)
  assert row.stages == {'rollout': 3, 'reward': 0, 'update': 3, 'host': 3}
  assert (row.seconds, row.speed) == (9, 32 / 9)
  case = Case('v5e:2x2', 1, {'fsdp': 4, 'tensor': 1}, 1)
  bounds = bounds_of('sd3', case, {'report': Compiler()(None, case)})
  half = row._replace(devices=2, samples=16)
  *_, first, second = measured_table([half, row], [bounds]).splitlines()
  assert first.endswith('| 9.000 | — | 1.8 | 100% | — |')
  assert second.endswith('| 9.000 | 5.500 | 3.6 | 100% | — |')


def test_the_arguments_of_a_measured_run():
  words = [
    'scaling',
    '--config=configs/t2i.py:debug',
    '--config.steps=3',
    '--prompts_per_chip=9',
  ]
  assert run_arguments(words, 2) == [
    '--config=configs/t2i.py:debug',
    '--config.steps=4',
    '--config.eval.every=0',
    '--config.checkpoint.every=0',
    '--config.log.tensorboard=False',
    '--config.steps=3',
    '--prompts_per_chip=2',
  ]


def test_the_first_devices():
  assert list(FirstDevices(2)) == jax.devices()[:2]
  assert len(FirstDevices(99)) == 99  # before JAX is asked for any
  with pytest.raises(InputError, match='Expected 99 devices, as --devices'):
    FirstDevices(99)[0]


@pytest.mark.slow
def test_runs_on_virtual_devices(tmp_path):
  flags = [
    *('--config=configs/t2i.py:debug', '--measure', '--devices=2'),
    *('--mode=strong', '--config.sampler.steps=1', '--config.steps=2'),
    *('--config.eval.num_prompts=8', '--config.eval.group_size=1'),
  ]
  status, error = run(*flags, f'--output={tmp_path}')
  assert status == 0, error
  (row,) = json.loads((tmp_path / 'scaling.json').read_text())['measured']
  assert row['device'] == 'cpu x2'
  assert row['samples'] == 32
  assert row['seconds'] > 0
  assert set(row['stages']) == {'rollout', 'reward', 'update', 'host'}
