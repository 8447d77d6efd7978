"""What to try where a program does not fit, and when a report says so."""

import jax
import pytest

from adrpo_jax.compile import costs, programs
from adrpo_jax.compile import report as compile_report
from adrpo_jax.compile.advice import advice
from adrpo_jax.compile.chips import GIB

COMPUTE = {
  'microbatches': 4,
  'remat_policy': 'nothing',
  'reward_chunks': 1,
  'decode_chunks': 2,
}


def report(**peaks):
  """A report of programs by their GiB, on eight chips of 16 GiB."""
  return {
    'fits': max(peaks.values()) <= 16,
    'topology': 'v5e:2x4',
    'num_slices': 1,
    'chips': 8,
    'samples': 64,
    'hbm_capacity_bytes': 16 * GIB,
    'hbm_peak_bytes': max(peaks.values()) * GIB,
    'mesh': {'data': 2, 'fsdp': 4, 'tensor': 1},
    'devices': 8,
    'config': {
      'compute': dict(COMPUTE),
      'model': {'lora_rank': 0},
      'eval': {'batch_size': 16, 'group_size': 4},
    },
    'programs': {
      name: {'hbm_peak_bytes': peak * GIB, 'beside_bytes': 0}
      for name, peak in peaks.items()
    },
  }


def test_what_fits_needs_no_advice():
  assert list(advice(report(rollout=15, reward=1, update=16))) == []


def test_keys_are_turned_from_where_they_stand():
  (line,) = advice(report(rollout=1, reward=1, update=20.5))
  assert line == (
    'update needs 20.50 GiB. Try, in this order: '
    '--config.compute.microbatches=8, --config.mesh.fsdp=8, '
    '--config.model.lora_rank=32, fewer prompts for each chip.'
  )
  (line,) = advice(report(rollout=1, decoding=17, update=1))
  assert 'decode_chunks=4, --config.compute.reward_chunks=2, fewer' in line


def test_an_evaluation_has_keys_of_its_own():
  (line,) = advice(report(update=7.5, evaluation=16.7))
  assert line == (
    'evaluation needs 16.70 GiB. Try, in this order: '
    '--config.eval.batch_size=8, --config.eval.group_size=2, '
    '--config.mesh.fsdp=8.'
  )
  told = report(eval_decoding=17)
  told['config']['eval']['batch_size'] = 8  # a prompt for each chip
  (line,) = advice(told)
  assert line.endswith('decode_chunks=4, --config.eval.group_size=2.')


def test_arrays_beside_a_program_take_memory():
  told = report(update=15.5, reward=1)
  assert programs.fits(told['programs'], 16 * GIB)
  told['programs']['update']['beside_bytes'] = GIB
  assert not programs.fits(told['programs'], 16 * GIB)
  assert next(advice(told)).startswith('update needs 16.50 GiB.')


def test_language_has_fewer_logits_and_adapters_stay():
  told = report(rollout=1, update=17)
  told['config']['compute'] |= {'logits_chunk': 128, 'remat_policy': 'dots'}
  told['config']['model']['lora_rank'] = 8
  told['mesh']['fsdp'] = 8
  (line,) = advice(told)
  assert line.endswith(
    'microbatches=8, --config.compute.remat_policy=nothing, '
    '--config.compute.logits_chunk=64, fewer prompts for each chip.'
  )


def test_what_the_compiler_refused_never_fits():
  """Its message may name less than a chip has, at the limit of a buffer."""
  error = jax.errors.JaxRuntimeError(
    'RESOURCE_EXHAUSTED: Ran out of memory; total memory required (15.75G)'
  )
  told = report(rollout=1, reward=1, update=1)
  told['programs']['update'] |= costs.refused_costs(error)
  assert not programs.fits(told['programs'], 16 * GIB)
  (line,) = advice(told)
  assert line.startswith('update needs 15.75 GiB.')


def test_a_table_says_what_to_try():
  told = report(update=40.5)
  told['programs']['update']['refused'] = 'RESOURCE_EXHAUSTED'
  verdict, line = compile_report.table(told).splitlines()[1:3]
  assert verdict == 'DOES NOT FIT: 40.50 of 16 GiB a chip'
  assert line.startswith('update needs 40.50 GiB. Try, in this order: ')


@pytest.mark.parametrize(('peak', 'fits'), [(15.75, True), (16.1, False)])
def test_what_was_compiled_fits_by_its_peak(peak, fits):
  told = report(rollout=1, reward=1, update=peak)
  assert programs.fits(told['programs'], 16 * GIB) == fits
