"""Lines that survive a kill, a bar that tells the time."""

import io
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax.errors import InputError
from adrpo_jax.metrics import MetricsLog, Progress
from adrpo_jax.system.records import cut_back, parsed


def lines_of(path):
  return [parsed(line) for line in path.read_text().splitlines()]


def test_lines_are_whole_at_once_and_plain_json(tmp_path):
  path = tmp_path / 'run' / 'metrics.jsonl'
  with MetricsLog(path) as log:
    log.write(
      jnp.int32(0),
      {
        'reward': jnp.float32(0.5),
        'loss': np.float32(0.75),
        'nothing': jnp.float32(jnp.nan),
        'beta': {'edges': np.arange(2), 'mean': np.float64(2.0)},
        'bad': float('nan'),
      },
    )
    expected = {
      'step': 0,
      'reward': 0.5,
      'loss': 0.75,
      'nothing': None,
      'beta': {'edges': [0, 1], 'mean': 2.0},
      'bad': None,
    }
    assert lines_of(path) == [expected], 'readable before the file is closed'
  with MetricsLog(path, start=1) as log:
    log.write(1, {'reward': 1})
  assert lines_of(path) == [expected, {'step': 1, 'reward': 1}]


def test_only_process_0_writes(tmp_path, monkeypatch):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 9}\n')
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  with MetricsLog(tmp_path / 'more' / 'metrics.jsonl') as log:
    log.write(0, {'reward': 1.0})
  assert cut_back(path, 0) == 0
  Progress(3, stream=(stream := io.StringIO())).update(3, {})
  assert stream.getvalue() == ''
  assert [file.name for file in tmp_path.iterdir()] == ['metrics.jsonl']
  assert path.read_text() == '{"step": 9}\n'


def test_cut_back_keeps_what_was_before_the_restored_step(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  whole = [f'{{"step": {step}, "reward": 0.{step}}}\n' for step in range(6)]
  path.write_text(''.join(whole) + '{"step": 6, "rew')
  assert cut_back(path, 4) == 3
  assert path.read_text() == ''.join(whole[:4])
  assert cut_back(path, 4) == 0
  # Torn at the very newline: complete JSON, but not a whole line.
  path.write_text(''.join(whole[:2]) + whole[2].rstrip('\n'))
  assert cut_back(path, 9) == 1
  assert path.read_text() == ''.join(whole[:2])
  assert cut_back(path, 0) == 2
  assert path.read_text() == ''
  assert cut_back(tmp_path / 'none.jsonl', 3) == 0
  assert [file.name for file in tmp_path.iterdir()] == ['metrics.jsonl']


def test_a_broken_line_in_the_middle_is_named_and_left(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text(text := '{"step": 0}\nhello\n{"step": 1}\n')
  with pytest.raises(InputError, match=r"in line 2 of .*got 'hello'"):
    cut_back(path, 1)
  assert path.read_text() == text


def test_the_mirror_hides_what_a_killed_run_wrote(tmp_path):
  pytest.importorskip('tensorboardX')
  from tensorboardX.proto import event_pb2

  board = tmp_path / 'tensorboard'
  with MetricsLog(tmp_path / 'm.jsonl', tensorboard=board) as log:
    for step in range(4):
      log.write(step, {'reward': 0.25, 'beta': {'mean': 1.0}, 'x': None})
  with MetricsLog(tmp_path / 'm.jsonl', tensorboard=board, start=2) as log:
    log.write(2, {'reward': 0.5})

  seen, purged = {}, []
  for file in sorted(board.iterdir(), key=lambda file: file.stat().st_mtime):
    for record in records(file.read_bytes()):
      event = event_pb2.Event.FromString(record)
      if event.HasField('session_log'):
        purged.append(event.step)
        seen = {key: v for key, v in seen.items() if key[1] < event.step}
      for value in event.summary.value:
        seen[value.tag, event.step] = value.simple_value
  assert purged == [0, 2]
  assert {k: v for k, v in seen.items() if k[0] == 'reward'} == {
    ('reward', 0): 0.25,
    ('reward', 1): 0.25,
    ('reward', 2): 0.5,
  }
  assert seen['beta/mean', 1] == 1.0


def records(data):
  """The records of a TFRecord file: length, its checksum, bytes, theirs."""
  while data:
    length = int.from_bytes(data[:8], 'little')
    yield data[12 : 12 + length]
    data = data[16 + length :]


def test_without_tensorboardx_the_way_out_is_told(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorboardX', None)
  with pytest.raises(InputError, match='pip install tensorboardX'):
    MetricsLog(tmp_path / 'm.jsonl', tensorboard=tmp_path)
  MetricsLog(tmp_path / 'm.jsonl').close()


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_terminal_gets_a_bar_that_is_redrawn():
  stream, now = Terminal(), [0.0]
  progress = Progress(200, start=100, stream=stream, clock=lambda: now[0])
  now[0] = 30.0
  progress.update(150, {'reward': jnp.float32(0.51239), 'best': 'adrpo'})
  now[0] = 60.0
  progress.update(200, {'reward': 1.0})
  progress.close()
  drawn = stream.getvalue().split('\r')
  assert drawn[1].startswith(
    '█' * 15 + '░' * 5 + '  step 150/200  reward 0.512  best adrpo  0:30 left'
  )
  assert drawn[2].rstrip() == '█' * 20 + '  step 200/200  reward 1  0:00 left'
  assert len(drawn[2].rstrip('\n')) >= len(drawn[1]), 'covers the line before'
  assert drawn[2].endswith('\n')


def test_a_log_file_gets_a_line_now_and_then():
  stream, now = io.StringIO(), [0.0]
  progress = Progress(40, stream=stream, clock=lambda: now[0])
  for step in range(1, 41):
    now[0] = step * 1.0
    progress.update(step, {'reward': 0.5})
  progress.close()
  steps = [line.split()[1] for line in stream.getvalue().splitlines()]
  assert steps == ['1/40', '11/40', '21/40', '31/40', '40/40']
  assert 'step 11/40  reward 0.5  0:29 left' in stream.getvalue()


def test_an_hour_is_an_hour():
  stream, now = io.StringIO(), [0.0]
  progress = Progress(2, stream=stream, clock=lambda: now[0])
  now[0] = 3675.0
  progress.update(1, {})
  assert stream.getvalue() == 'step 1/2  1:01:15 left\n'
