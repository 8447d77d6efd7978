"""What --search compiles and finds, with memory by a formula."""

import sys

from absl.testing import flagsaver
import pytest

from adrpo_jax.compile import __main__ as command
from adrpo_jax.compile import fitting
from adrpo_jax.compile.chips import GIB
from adrpo_jax.errors import InputError


class Compiler:
  """Weights of 24 GiB are split; a prompt of a chip takes a quarter."""

  def __init__(self, evaluation=1):
    self.evaluation, self.calls = evaluation, []

  def __call__(self, mesh, per_chip, known):
    self.calls.append((mesh['fsdp'], mesh['tensor'], per_chip, *known))
    needs = {
      'update': 24 / mesh['fsdp'] / mesh['tensor'] + per_chip / 4,
      'evaluation': self.evaluation,
    }
    return {
      'fits': max(needs.values()) <= 16,
      'hbm_capacity_bytes': 16 * GIB,
      'programs': {
        name: {'hbm_peak_bytes': int(need * GIB), 'beside_bytes': 0}
        for name, need in needs.items()
      },
    }


def find(compiler, said, **changes):
  options = {'unit': 2, 'least': 1, 'most': 64} | changes
  choices = list(fitting.meshes(8, 1))
  return fitting.find(compiler, choices, 16 * GIB, **options, say=said.append)


def test_meshes_from_the_cheapest():
  assert [tuple(m.values()) for m in fitting.meshes(16, 2)] == [
    *((1, 1), (2, 1), (4, 1), (8, 1)),
    *((4, 2), (2, 4), (1, 8)),
  ]


def test_the_cheapest_mesh_and_its_largest_batch():
  """24 GiB do not fit; 12 do, beside 16 prompts of a quarter GiB each."""
  compiler, said = Compiler(), []
  found = find(compiler, said)
  assert found[:3] == (2, 1, 16)
  assert found.report['fits']
  assert found.flags() == (
    '--config.mesh.fsdp=2 --config.mesh.tensor=1 --prompts_per_chip=16'
  )
  assert said[0] == (
    'fsdp 1, tensor 1, 2 a chip: does not fit, 24.50 of 16 GiB for update'
  )
  assert len(said) == len(compiler.calls) == len(set(compiler.calls))
  assert len(said) <= 8, said
  # What does not depend on the batch is compiled once for a mesh.
  assert compiler.calls[-1] == (2, 1, 18, 'evaluation')


def test_a_batch_that_is_wanted_takes_a_larger_mesh():
  """20 prompts of a chip take 5 GiB, beside 12 too much."""
  found = find(Compiler(), [], least=20)
  assert found[:3] == (4, 1, 40)


def test_the_end_of_the_search():
  assert find(Compiler(), [], most=10)[:3] == (2, 1, 10)


def test_no_mesh_holds_it():
  with pytest.raises(InputError, match=r'holds 2 prompts.* for evaluation'):
    find(Compiler(evaluation=17), [])


def test_a_mesh_that_the_config_refuses_does_not_fit():
  def refuses(mesh, per_chip, known):
    if mesh['fsdp'] == 2:
      raise InputError('Expected eval.batch_size to be a multiple of 2.')
    return Compiler()(mesh, per_chip, known)

  said = []
  assert find(refuses, said)[:2] == (4, 1)
  assert 'fsdp 2, tensor 1, 2 a chip: Expected eval.batch_size' in str(said)


@pytest.mark.parametrize(
  ('flags', 'found', 'tried'),
  [
    ([], 'fsdp=2 --config.mesh.tensor=1 --prompts_per_chip=16', 'fsdp 1'),
    (
      ['--config.mesh.fsdp=4', '--prompts_per_chip=3', '--most=8'],
      'fsdp=4 --config.mesh.tensor=1 --prompts_per_chip=8',
      'fsdp 4, tensor 1, 4 a chip: fits',
    ),
  ],
)
def test_a_command_line_of_a_search(monkeypatch, capsys, flags, found, tried):
  """Of a preset with two microbatches, on eight devices."""
  compiler = Compiler()

  def compiled(config, topology, slices, *, per_chip, known, whole, **_):
    assert (topology, slices, whole) == ('v5e:2x4', 1, False)
    return compiler(config.mesh, per_chip, known)

  words = ['compile', '--config=configs/t2i.py:sd3_medium', '--search']
  words += ['--topology=v5e:2x4', *flags]
  monkeypatch.setattr(sys, 'argv', words)
  monkeypatch.setattr(command, 'compile_stages', compiled)
  monkeypatch.setattr(command, 'devices_of', lambda *_: [None] * 8)
  monkeypatch.setattr(command.compile_report, 'table', lambda report: 'a table')
  saved = flagsaver.save_flag_values()
  try:
    assert command.run(words) == 0
  finally:
    flagsaver.restore_flag_values(saved)
  out = capsys.readouterr().out
  assert out.startswith(tried)
  assert f'\n--config.mesh.{found}\n' in out
  assert out.endswith('a table\n')
