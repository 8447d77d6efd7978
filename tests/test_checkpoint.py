"""Saves that survive kills, damage, donation and another number of devices."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
from made_state import assert_same_bits, made_state
import numpy as np
import pytest

from adrpo_jax import checkpoint, sharding
from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.errors import InputError
from adrpo_jax.system.records import parsed

MESH = {'data': 2, 'fsdp': 2, 'tensor': 2}


@pytest.fixture
def checkpoints(tmp_path):
  with Checkpoints(tmp_path / 'checkpoints') as made:
    yield made


def abstract_state(**axes):
  mesh = sharding.make_mesh(**axes)
  shapes = jax.eval_shape(made_state, 0)
  return sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))


def put(state, abstract):
  return sharding.put_tree(state, jax.tree.map(lambda x: x.sharding, abstract))


def save(checkpoints, *steps):
  for step in steps:
    checkpoints.save(step, made_state(step), {'step': step})
  checkpoints.wait()


def files_of(path: pathlib.Path) -> list[pathlib.Path]:
  return sorted(p for p in path.rglob('*') if p.is_file())


def test_nothing_to_restore(checkpoints, tmp_path):
  assert checkpoints.restore(abstract_state()) is None
  assert checkpoints.steps() == []
  assert not (tmp_path / 'checkpoints').exists()


def test_a_folder_may_be_given_from_here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with Checkpoints('run/checkpoints') as checkpoints:
    save(checkpoints, 1)
  assert (tmp_path / 'run' / 'checkpoints' / '00000001').is_dir()


@pytest.mark.parametrize('axes', [{'data': 8}, {'data': 1, 'tensor': 8}, MESH])
def test_restores_the_same_bits_on_another_mesh(checkpoints, axes):
  saved = put(made_state(3), abstract_state(**MESH))
  checkpoints.save(3, saved, {'seed': 5, 'pairs': [1, 2]})
  restored = checkpoints.restore(wanted := abstract_state(**axes))
  assert (restored.step, restored.meta) == (3, {'seed': 5, 'pairs': [1, 2]})
  assert_same_bits(restored.state, made_state(3))
  assert restored.state.ema is None
  for got, want in zip(
    jax.tree.leaves(restored.state), jax.tree.leaves(wanted), strict=True
  ):
    assert got.sharding == want.sharding


def test_restores_to_one_device_and_to_numpy(checkpoints):
  save(checkpoints, 1)
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  shapes = jax.eval_shape(made_state, 0)
  one = sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))
  assert_same_bits(checkpoints.restore(one).state, made_state(1))
  plain = checkpoints.restore(shapes).state
  assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(plain))
  assert_same_bits(plain, made_state(1))


def test_a_state_may_be_donated_while_it_is_written(checkpoints):
  abstract = {'x': jax.ShapeDtypeStruct((1024, 1024), jnp.float32)}
  replicated = sharding.replicated(sharding.make_mesh())
  draw = jax.jit(
    lambda: {'x': jax.random.uniform(jax.random.key(0), (1024, 1024))},
    out_shardings=replicated,
  )
  overwrite = jax.jit(
    lambda state: jax.tree.map(lambda x: 0 * x - 7, state), donate_argnums=0
  )
  overwrite(draw())
  checkpoints.save(0, state := draw(), {})
  jax.block_until_ready(overwrite(state))
  assert_same_bits(checkpoints.restore(abstract).state, draw())


def test_keeps_the_newest_and_prunes_only_after_a_save(checkpoints):
  save(checkpoints, 0, 5, 7)
  assert checkpoints.steps() == [5, 7]
  assert len(list(pathlib.Path(checkpoints._folder).iterdir())) == 2
  with pytest.raises(InputError, match='at least 2 checkpoints, got 1'):
    Checkpoints('unused', keep=1)


def test_every_kind_of_damage_is_seen(checkpoints, tmp_path):
  save(checkpoints, 0)
  path = tmp_path / 'checkpoints' / '00000000'
  assert checkpoint.damage(path) is None
  for file in files_of(path):
    whole = file.read_bytes()
    changed = bytes([whole[0] ^ 1]) + whole[1:]
    for broken in (whole[:-1], changed, b'', None):
      file.unlink()
      if broken is not None:
        file.write_bytes(broken)
      assert checkpoint.damage(path) is not None, (file, broken)
    file.write_bytes(whole)
  assert checkpoint.damage(path) is None


def test_a_damaged_newest_is_named_skipped_and_replaced(tmp_path, capfd):
  folder = tmp_path / 'checkpoints'
  with Checkpoints(folder) as first:
    save(first, 10, 20)
  largest = max(
    files_of(folder / '00000020'), key=lambda file: file.stat().st_size
  )
  largest.write_bytes(largest.read_bytes()[:-100])

  with Checkpoints(folder) as again:
    restored = again.restore(abstract_state(**MESH))
    assert restored.step == 10
    assert_same_bits(restored.state, made_state(10))
    told = capfd.readouterr().err
    assert '00000020 is damaged and skipped' in told
    assert largest.name in told
    assert 'trying step 10' in told
    assert (folder / '00000020').exists(), 'restore only reads'
    save(again, 20)
    assert again.steps() == [10, 20]
    assert again.restore(abstract_state(**MESH)).step == 20

  for step in ('00000010', '00000020'):
    (folder / step / 'manifest.json').write_text('{"files":')
  with Checkpoints(folder) as last:
    with pytest.raises(InputError, match=r'damaged ones alone.*remove that'):
      last.restore(abstract_state(**MESH))
    assert 'no older one is left' in capfd.readouterr().err
    assert last.steps() == [10, 20]


@pytest.mark.parametrize('gone', [['manifest.json'], ['meta.json'], ['*.json']])
def test_a_run_never_begins_anew_since_files_have_gone(tmp_path, gone):
  """Of one checkpoint, of each, and of whatever else is in its folder."""
  folder = tmp_path / 'checkpoints'
  with Checkpoints(folder) as first:
    save(first, 10, 20)
  for path in (file for name in gone for file in folder.glob(f'*/{name}')):
    path.unlink()
  with (
    Checkpoints(folder) as again,
    pytest.raises(InputError, match='damaged ones alone'),
  ):
    again.restore(abstract_state())
  assert len(list(folder.iterdir())) == 2  # Nothing is lost.


def test_after_the_first_save_was_interrupted_a_run_begins_anew(
  tmp_path, capfd
):
  folder = tmp_path / 'checkpoints'
  with Checkpoints(folder) as first:
    save(first, 10)
  (folder / '00000010' / 'meta.json').unlink()
  with Checkpoints(folder) as again:
    assert again.restore(abstract_state()) is None
    assert '00000010 was interrupted' in capfd.readouterr().err
    save(again, 10)
    assert again.steps() == [10]


def test_the_rests_of_a_killed_save_are_passed_over_and_removed(tmp_path):
  folder = tmp_path / 'checkpoints'
  with Checkpoints(folder) as first:
    save(first, 1, 2)
  for name in ('manifest.json', 'meta.json'):  # killed before the seal
    (folder / '00000002' / name).unlink()
  (folder / '00000003.orbax-checkpoint-tmp').mkdir()  # and before the commit
  (folder / 'notes.txt').write_text('not ours')
  with Checkpoints(folder) as again:
    assert again.steps() == [1]
    assert again.restore(abstract_state()).step == 1
    save(again, 2, 3)
    assert again.steps() == [2, 3]
    assert_same_bits(again.restore(abstract_state()).state, made_state(3))
  names = {path.name for path in folder.iterdir()}
  assert names == {'00000002', '00000003', 'notes.txt'}


def test_a_step_is_not_written_twice_nor_a_later_one_lost(tmp_path):
  folder = tmp_path / 'checkpoints'
  with Checkpoints(folder) as first:
    save(first, 4)
    written = (folder / '00000004' / 'manifest.json').stat().st_mtime_ns
    save(first, 4)
    assert first.restore(abstract_state()).step == 4
    save(first, 4)
  manifest = folder / '00000004' / 'manifest.json'
  assert manifest.stat().st_mtime_ns == written
  with Checkpoints(folder) as unaware:
    with pytest.raises(InputError, match='found step 4'):
      unaware.save(3, made_state(3), {})
    assert unaware.steps() == [4]


def test_another_structure_is_refused_by_name(checkpoints):
  save(checkpoints, 0)
  wanted = jax.eval_shape(made_state, 0)
  with pytest.raises(InputError) as raised:
    checkpoints.restore(
      wanted.replace(
        ema={'to_q': wanted.params['to_q']['bias']},
        old=None,
        params=wanted.params
        | {'to_out': {'kernel': jax.ShapeDtypeStruct((128, 64), jnp.float32)}},
      )
    )
  text = str(raised.value)
  assert 'Missing:\n  ema/to_q' in text
  assert 'old/to_out/kernel' in text
  assert (
    'params/to_out/kernel: expected float32 [128, 64], got bfloat16 [128, 64]'
    in text
  )


def test_a_save_is_complete_before_its_files_are_read_again(
  tmp_path, monkeypatch
):
  """Nothing is lost by a host that ends while it computes checksums."""
  folder = tmp_path / 'checkpoints'

  def ended(file):
    raise OSError('the host was taken away')

  with Checkpoints(folder) as first, monkeypatch.context() as patch:
    patch.setattr(checkpoint.manifest, '_sha256', ended)
    first.save(5, made_state(5), {})
    with pytest.raises(OSError, match='taken away'):
      first.wait()
  with Checkpoints(folder) as again:
    assert again.restore(abstract_state()).step == 5
  largest = max(
    (f for f in folder.rglob('*') if f.is_file()),
    key=lambda f: f.stat().st_size,
  )
  largest.write_bytes(largest.read_bytes()[:-1])  # Sizes are compared still.
  with Checkpoints(folder) as last, pytest.raises(InputError, match='damaged'):
    last.restore(abstract_state())


def test_a_failed_save_is_raised_by_the_next_call(checkpoints, monkeypatch):
  def full(path, **about):
    raise OSError('no space left')

  with monkeypatch.context() as patch:
    patch.setattr(checkpoint.manifest, 'seal', full)
    checkpoints.save(1, made_state(1), {})
    with pytest.raises(OSError, match='no space left'):
      checkpoints.wait()
  assert checkpoints.restore(abstract_state()) is None
  save(checkpoints, 1)
  assert checkpoints.restore(abstract_state()).step == 1


class Worker:
  """A process of tests/two_processes.py, its output lines on demand."""

  def __init__(self, rank, count, port, folder, action):
    here = pathlib.Path(__file__).parent
    self.process = subprocess.Popen(
      [sys.executable, here / 'two_processes.py']
      + [str(word) for word in (rank, count, port, folder, action)],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      cwd=here.parent,
      env=os.environ | {'PYTHONPATH': f'{here.parent}'},
    )

  def result(self, seconds=240):
    try:
      out, err = self.process.communicate(timeout=seconds)
    finally:
      self.process.kill()
    assert self.process.returncode == 0, err[-3000:]
    return out.splitlines()[-1].split()  # gloo talks on stdout too


def two_processes(folder, action):
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  workers = [Worker(rank, 2, port, folder, action) for rank in range(2)]
  try:
    return [worker.result() for worker in workers]
  finally:
    for worker in workers:
      worker.process.kill()


@pytest.mark.slow
def test_two_processes_save_are_preempted_and_restore(tmp_path):
  first, second = two_processes(tmp_path, 'save_and_be_preempted')
  assert first == second
  assert first[0] == 'PREEMPTED'
  step = int(first[1])
  assert step >= 4

  # Process 0 alone wrote the metrics, and what two saved one restores.
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  told = [parsed(line) for line in lines]
  assert told == [{'step': i, 'rank': 0} for i in range(step)]
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    assert checkpoints.steps() == sorted({2, 4, step})[-2:]
    restored = checkpoints.restore(wanted := abstract_state(**MESH))
    assert (restored.step, restored.meta) == (step, {'rank': 0})
    assert_same_bits(restored.state, made_state(step))
    # And what one saves, on another mesh, two restore.
    later = put(made_state(step + 1), abstract_state(data=1, fsdp=8))
    checkpoints.save(step + 1, later, {'rank': 7})
    assert_same_bits(checkpoints.restore(wanted).state, made_state(step + 1))
  told = two_processes(tmp_path, 'restore_and_compare')
  assert told == [['RESTORED', str(step + 1), '7']] * 2
  assert (tmp_path / 'metrics.jsonl').read_text().splitlines() == lines[:2]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_from_a_whole_checkpoint(tmp_path):
  moments = np.random.default_rng(0).uniform(0.5, 3.0, 5)
  newest = 0
  for moment in moments:
    worker = Worker(0, 1, 0, tmp_path, 'save_for_ever')
    try:
      word, step = worker.process.stdout.readline().split()
      assert word == 'STARTED', worker.process.stderr.read()
      assert int(step) == newest
      time.sleep(moment)
    finally:
      worker.process.send_signal(signal.SIGKILL)
      worker.process.communicate()
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
      restored = checkpoints.restore(abstract_state(**MESH))
    if restored is None:  # killed before the first save was complete
      assert newest == 0
      continue
    assert_same_bits(restored.state, made_state(restored.step))
    assert restored.step >= newest
    newest = restored.step
  assert newest > 0
