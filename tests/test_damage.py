"""A workdir whose records are damaged is refused, before anything is built."""

import json

import pytest
import small_run

from adrpo_jax.builders import workdir as workdirs
from adrpo_jax.system import records

SUMMARY = {'steps': 4, 'base': {'reward': 0.1}, 'final': {'reward': 0.2}}


@pytest.fixture
def workdir(tmp_path):
  """The workdir of a finished run, as far as it is looked at first."""
  folder = tmp_path / 'run'
  folder.mkdir()
  workdirs.claim_workdir(small_run.make_config(), folder)
  for step in range(4):
    records.append_json(folder / 'metrics.jsonl', {'step': step})
  records.write_json(folder / 'summary.json', SUMMARY)
  return folder


def test_a_whole_one_is_finished(workdir):
  status, out, err = small_run.call(
    *small_run.arguments(), f'--workdir={workdir}'
  )
  assert status == 0, err
  told = out[out.index('{') : out.rindex('}') + 1]
  assert json.loads(told) == SUMMARY


@pytest.mark.parametrize('left', [*workdirs.LEFT_BY_A_RUN, 'checkpoints'])
def test_without_its_config_a_run_does_not_go_on(workdir, left):
  (workdir / 'config.json').unlink()
  for file in list(workdir.iterdir()):
    file.unlink()
  if left == 'checkpoints':
    (workdir / left / '00000002').mkdir(parents=True)
  else:
    (workdir / left).write_text('')
  said = small_run.refused(workdir, training__learning_rate=0.5)
  assert 'Expected config.json' in said
  assert left in said
  assert [file.name for file in workdir.iterdir()] == [left]


@pytest.mark.parametrize('name', ['config.json', 'summary.json'])
@pytest.mark.parametrize(
  'spoil',
  [
    lambda text: '',
    lambda text: '{}',
    lambda text: 'null',
    lambda text: text[: len(text) // 2],
    lambda text: text.replace('"crc": ', '"crc": 1'),
    lambda text: text.replace('0.2', '0.7').replace('0.0003', '0.0004'),
  ],
)
def test_a_damaged_record_is_named_with_a_way_out(workdir, name, spoil):
  path = workdir / name
  spoilt = spoil(path.read_text())
  assert spoilt != path.read_text()
  path.write_text(spoilt)
  said = small_run.refused(workdir)
  assert str(path) in said
  assert 'Remove it' in said or 'Put it back' in said
  assert path.read_text() == spoilt
