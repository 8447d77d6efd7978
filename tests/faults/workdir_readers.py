"""Readers of what runs write for themselves: checkpoints, pairs, caches.

A row is the fields of `readers.Reader`.
"""

import contextlib
import io
import json
import sys
import warnings

from absl.testing import flagsaver
from etils import epath
from flax.traverse_util import flatten_dict
import jax
import numpy as np
from oracles import same
import pytest
import small_run

from adrpo_jax import main, preferences
from adrpo_jax.builders import workdir as workdirs
from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.errors import InputError, RunError
from adrpo_jax.system import cache_files, local_paths, user_code
from adrpo_jax.system.records import cut_back, line_of, parsed

STATE = {
  'w': np.arange(12, dtype=np.float32).reshape(3, 4),
  'n': np.int32(7),
}
ABSTRACT = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), STATE)


def make_checkpoints(folder):
  with Checkpoints(folder / 'checkpoints', keep=3) as checkpoints:
    for step in (1, 2, 3):
      state = jax.tree.map(lambda leaf, step=step: leaf + step, STATE)
      checkpoints.save(step, state, {'step': step})


def read_checkpoint(folder):
  with (
    contextlib.redirect_stderr(io.StringIO()),
    Checkpoints(folder / 'checkpoints', keep=3) as checkpoints,
  ):
    restored = checkpoints.restore(ABSTRACT)
  if restored is None:
    return None
  return {'step': restored.step, 'state': restored.state, 'meta': restored.meta}


def right_checkpoint(value, whole, folder):
  """One of the three that were written, to the bit, or none."""
  if value is None:
    return True
  step = value['step']
  wanted = jax.tree.map(lambda leaf: np.asarray(leaf + step), STATE)
  return (
    step in (1, 2, 3)
    and value['meta'] == {'step': step}
    and all(same(np.asarray(value['state'][k]), wanted[k]) for k in wanted)
  )


def make_pairs(folder):
  rng = np.random.default_rng(0)
  sample = {'x0': rng.normal(size=(3, 9, 9)).astype(np.float32)}
  pairs = {
    'ids': np.arange(3, dtype=np.int32),
    'winner': sample,
    'loser': jax.tree.map(np.negative, sample),
    'rewards': np.float32([[1, 0.5], [0.25, -3], [2, 2]]),
  }
  preferences.write(epath.Path(folder) / 'pairs.safetensors', pairs)


def make_cached(folder):
  for name in ('a.safetensors', 'b.npz'):
    assert cache_files.write(folder / name, bytes(range(200)) + name.encode())


def read_cached(folder):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    paths = [folder / name for name in ('a.safetensors', 'b.npz')]
    read = [cache_files.read(path) for path in paths]
    assert cache_files.are_whole(paths) == [c is not None for c in read]
  return read


def right_cached(value, whole, folder):
  return all(
    content is None or content == written
    for content, written in zip(value, whole, strict=True)
  )


def make_made(folder):
  cache_files.made_folder(folder / 'made', fill)


def fill(folder):
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'x.json').write_text('{"a": [1, 2, 3]}')
  (folder / 'y.txt').write_text('content')


def read_made(folder):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    made = cache_files.made_folder(folder / 'made', fill)
  return [(made / name).read_bytes() for name in ('x.json', 'y.txt')]


def make_metrics(folder):
  lines = [line_of({'step': i, 'loss': i / 3}) for i in range(6)]
  (folder / 'metrics.jsonl').write_text(''.join(lines))


def read_cut(folder):
  path = folder / 'metrics.jsonl'
  cut_back(path, 4, range(4))
  return path.read_bytes() if path.exists() else b''


def right_cut(value, whole, folder):
  """What is left are the records of the steps before, all of them."""
  left = [parsed(line) for line in value.decode().split('\n')[:-1]]
  return [
    {'step': record['step'], 'loss': record['loss']} for record in left
  ] == [{'step': i, 'loss': i / 3} for i in range(4)]


def make_claimed(folder):
  (folder / 'run').mkdir()
  workdirs.claim_workdir(small_run.make_config(), folder / 'run')


def read_claimed(folder):
  workdirs.check_workdir(small_run.make_config(), folder / 'run')
  return 'the run goes on'


def right_claimed(value, whole, folder):
  """The run goes on only with the config that is written there, if any is."""
  if not (folder / 'run' / 'config.json').exists():
    return True
  written = json.loads((folder / 'run' / 'config.json').read_bytes())['config']
  own = json.loads(json.dumps(small_run.make_config().to_dict()))
  free = {'steps', 'log', 'compute', 'checkpoint', 'eval', 'compare'}
  return all(
    json.dumps(own.get(key)) == json.dumps(written.get(key))
    for key in (own.keys() | written.keys()) - free
  )


def make_flags(folder):
  """A command line as JSON: every key that has one number or text."""
  config = small_run.preset_config('debug', {})
  flags = {
    key: str(value)
    for key, value in flatten_dict(config.to_dict(), sep='.').items()
    if type(value) in (int, float, bool, str)
  }
  (folder / 'flags.json').write_text(json.dumps(flags))


def made_up(path):
  """The texts by key of a file that stands for a command line."""
  try:
    said = json.loads(path.read_bytes())
    return {
      key: text if isinstance(text, str) else json.dumps(text)
      for key, text in said.items()
    }
  except (ValueError, AttributeError, RecursionError, OSError) as error:
    raise InputError('no command line') from error  # It is no fault of ours.


def read_flags(folder):
  said = made_up(folder / 'flags.json')
  words = [f'--config.{key}={value}' for key, value in said.items()]
  config = small_run.ROOT / 'configs' / 't2i.py'
  saved = flagsaver.save_flag_values()
  try:
    with pytest.MonkeyPatch.context() as patch:
      argv = ['main', f'--config={config}:debug', *words]
      patch.setattr(sys, 'argv', argv)
      parsed = main.parse(argv)
    return flatten_dict(parsed.to_dict(), sep='.')
  finally:
    flagsaver.restore_flag_values(saved)


def right_flags(value, whole, folder):
  """Each key has the value of its text, of the type that it had."""
  said = made_up(folder / 'flags.json')
  return value.keys() == whole.keys() and all(
    type(value[key]) is type(whole[key]) and reads_as(value[key], said[key])
    for key in said
  )


def reads_as(value, text):
  """Tells if a text stands for a value, in the spelling of flags."""
  if isinstance(value, bool):
    spellings = ('true', 't', '1') if value else ('false', 'f', '0')
    return text.lower() in spellings
  if isinstance(value, int | float):
    return same(float(value), float(text))
  return value in (text, local_paths.absolute(text))


def make_calls(folder):
  calls = 'rewards.py:redness,more/own.py:ink(weight=0.5, name="x")'
  (folder / 'calls.json').write_text(json.dumps({'calls': calls}))


def read_calls(folder):
  text = made_up(folder / 'calls.json').get('calls', '')
  return [str(call) for call in user_code.read_calls(text, 'reward.python')]


def right_calls(value, whole, folder):
  return all(call.count(':') >= 1 for call in value)


ROWS = {
  'checkpoints': (
    make_checkpoints,
    read_checkpoint,
    right_checkpoint,
    (InputError, RunError),
    0.1,
  ),
  'pairs': (
    make_pairs,
    lambda folder: preferences.read(folder / 'pairs.safetensors', 3),
    lambda value, whole, folder: same(
      jax.tree.map(np.asarray, value), jax.tree.map(np.asarray, whole)
    ),
  ),
  'cached files': (make_cached, read_cached, right_cached),
  'made folder': (
    make_made,
    read_made,
    lambda value, whole, folder: same(value, whole),
    (InputError, RunError),
  ),
  'metrics cut back': (make_metrics, read_cut, right_cut),
  'config of a workdir': (
    make_claimed,
    read_claimed,
    right_claimed,
    (InputError,),
    0.1,
  ),
  'command line': (make_flags, read_flags, right_flags, (InputError,), 0.2),
  'calls of own code': (make_calls, read_calls, right_calls),
}
