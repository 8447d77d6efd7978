"""The last line of a run whose disk is full."""

import errno
import logging
import shlex
import sys

from etils import epath
import pytest

from adrpo_jax.system.going_on import full_disk_said_once, go_on, last_words


def caused(error, cause):
  error.__cause__ = cause
  return error


FULL = OSError(errno.ENOSPC, 'No space left on device', '/run/metrics.jsonl')
SAID = ValueError("RESOURCE_EXHAUSTED: No space left on device [code='28']")
ERRORS = [
  FULL,
  SAID,
  OSError(errno.EDQUOT, 'Disk quota exceeded'),
  caused(RuntimeError('saving failed'), FULL),
  ExceptionGroup('two threads', [KeyError('a'), caused(KeyError('b'), SAID)]),
]


@pytest.mark.parametrize('error', ERRORS, ids=repr)
def test_one_line_says_what_is_kept_and_how_to_go_on(
  tmp_path, monkeypatch, error
):
  monkeypatch.setattr(sys, 'argv', ['main', '--config=a b.py'])
  for step in (4, 12):
    sealed = tmp_path / 'checkpoints' / f'{step:08d}'
    sealed.mkdir(parents=True)
    (sealed / 'manifest.json').touch()
  (tmp_path / 'checkpoints' / '00000020').mkdir()  # not complete
  said = last_words(error, epath.Path(tmp_path))
  assert said.startswith('The disk is full.')
  assert 'kept: checkpoint 12.' in said
  words = shlex.split(said.partition('To go on: ')[2])
  assert words[-2:] == ['--config=a b.py', f'--workdir={tmp_path}']
  assert '\n' not in said


def test_before_a_checkpoint_and_before_a_workdir(tmp_path):
  assert 'no checkpoint yet' in last_words(FULL, epath.Path(tmp_path))
  assert 'Nothing was begun.' in last_words(FULL)


@pytest.mark.parametrize(
  'error', [ValueError('a'), OSError(errno.EACCES, 'Permission denied')]
)
def test_another_error_keeps_its_traceback(error):
  assert last_words(error) is None


def test_a_workdir_of_the_command_is_not_named_twice(monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['main', '--workdir=a'])
  assert go_on('b').count('--workdir') == 1


def test_what_threads_log_of_a_full_disk_is_dropped(caplog):
  logger = logging.getLogger('absl')
  with full_disk_said_once():
    for error in (SAID, ValueError('another')):
      logger.error('A thread failed.', exc_info=error)
  assert [record.exc_info[1].args for record in caplog.records] == [
    ('another',)
  ]
