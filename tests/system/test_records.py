"""A record of a run is read whole, or an error names the file and a way out."""

import json

import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.system import records

CONTENT = {
  'steps': 3,
  'base': {'reward': 0.1, 'name': 'π ≥ "<b>"'},
  'final': {'by_category': {'a': -0.0, 'b': 1e-300}, 'none': None},
  'list': [1, 2.5, True],
}


def with_flipped_bits(content, count, seed=0):
  rng = np.random.default_rng(seed)
  for place, bit in rng.integers((len(content), 8), size=(count, 2)):
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    yield bytes(changed)


def test_what_is_written_comes_back_without_the_checksum(tmp_path):
  records.write_json(tmp_path / 'summary.json', CONTENT)
  assert records.read_summary(tmp_path) == CONTENT
  assert 'crc' in json.loads((tmp_path / 'summary.json').read_text())
  assert records.read_config(tmp_path) is None


def test_a_record_of_an_older_version_is_read(tmp_path):
  (tmp_path / 'summary.json').write_text(json.dumps(CONTENT))
  assert records.read_summary(tmp_path) == CONTENT


def test_no_damaged_record_is_read(tmp_path):
  """A flipped bit is an error, or spells the same record."""
  path = tmp_path / 'summary.json'
  records.write_json(path, CONTENT)
  whole = path.read_bytes()
  refused = 0
  for damaged in with_flipped_bits(whole, 500):
    path.write_bytes(damaged)
    try:
      got = records.read_summary(tmp_path)
      # Without the name of the checksum there is one entry more.
      assert CONTENT.items() <= got.items(), damaged
    except InputError as error:
      refused += str(path) in str(error)
  assert refused > 400


@pytest.mark.parametrize(
  'content',
  [
    '',
    '{"steps"',
    '{}',
    '[]',
    'null',
    '7',
    '\ufeff',
    '[' * 100_000,
    '{"base":1}',
  ]
  + ['{"steps": "3", "base": {}, "final": {}}', '{"config": []}'],
)
@pytest.mark.parametrize(
  ('read', 'name', 'way_out'),
  [
    (records.read_summary, 'summary.json', 'Remove it'),
    (records.read_config, 'config.json', 'another --workdir'),
  ],
)
def test_other_content_is_an_error_with_a_way_out(
  tmp_path, content, read, name, way_out
):
  (tmp_path / name).write_text(content)
  with pytest.raises(InputError, match=f'{name}.*{way_out}'):
    read(tmp_path)
  (tmp_path / name).write_bytes(b'\xff\xfe')
  with pytest.raises(InputError, match=name):
    read(tmp_path)
  (tmp_path / name).unlink()
  (tmp_path / name).mkdir()
  with pytest.raises(InputError, match=name):
    read(tmp_path)


def write_lines(path, count=5):
  path.unlink(missing_ok=True)
  for step in range(count):
    records.append_json(path, {'step': step, 'beta': 0.25 * step})
  return path.read_text().splitlines(keepends=True)


def test_lines_come_back_and_a_torn_one_is_left_out(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  assert records.read_lines(path) == []
  lines = write_lines(path)
  path.write_text(''.join(lines) + lines[0][:-1])
  got = records.read_lines(path)
  assert got == [{'step': s, 'beta': 0.25 * s} for s in range(5)]


@pytest.mark.parametrize(
  ('line', 'said'),
  [
    ('\n', 'line 3'),
    ('hello\n', "got 'hello'"),
    ('{"loss": 1}\n', 'no step'),
    ('{"step": "2"}\n', 'no step'),
    ('[2]\n', 'not a JSON object'),
    ('{"step": 2, "beta": 0.75, "crc": 1}\n', 'checksum'),
  ],
)
def test_a_damaged_line_is_named(tmp_path, line, said):
  path = tmp_path / 'metrics.jsonl'
  lines = write_lines(path)
  path.write_text(damaged := ''.join([*lines[:2], line, *lines[3:]]))
  for read in (
    lambda: records.read_lines(path),
    lambda: records.cut_back(path, 4),
    lambda: records.cut_back(path, 4, range(4)),
  ):
    with pytest.raises(InputError, match='in line 3 of') as raised:
      read()
    assert said in str(raised.value)
    assert 'remove all checkpoints that are later' in str(raised.value)
  assert path.read_text() == damaged
  # The way out: from an older checkpoint, what is damaged goes in any case.
  assert records.cut_back(path, 2, range(2)) == 3
  assert path.read_text() == ''.join(lines[:2])


@pytest.mark.parametrize('gone', [[0], [1, 2], [3]])
def test_missing_lines_are_named(tmp_path, gone):
  path = tmp_path / 'metrics.jsonl'
  lines = write_lines(path)
  path.write_text(''.join(w for s, w in enumerate(lines) if s not in gone))
  with pytest.raises(InputError, match='missing') as raised:
    records.cut_back(path, 4, range(4))
  assert f'steps {gone} are missing' in str(raised.value)
  assert records.cut_back(path, 2) >= 0  # Where it is unknown what is wanted.


def test_lines_in_another_order_are_refused(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  lines = write_lines(path)
  path.write_text(''.join([lines[1], lines[0], *lines[2:]]))
  with pytest.raises(InputError, match='another order'):
    records.cut_back(path, 4, range(4))
  path.unlink()
  with pytest.raises(InputError, match=r'\[0, 1, 2, 3, 4, 5\] and 4 more'):
    records.cut_back(path, 10, range(10))


def test_of_evaluations_a_point_of_a_curve_may_go(tmp_path):
  path = tmp_path / 'evaluations.jsonl'
  path.write_text('hello\n')
  with pytest.raises(InputError, match='remove that line'):
    records.cut_back(path, 3)
