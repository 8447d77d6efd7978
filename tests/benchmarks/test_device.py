"""The script for a device: its pieces, and a rehearsal on the CPU."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adrpo_jax import sharding
from benchmarks.device import cards, child
from benchmarks.device.random_arrays import random_arrays

ROOT = pathlib.Path(__file__).parents[2]


def test_a_command_that_exceeds_its_time_is_cut_with_what_it_had_printed():
  program = """import time
print('{"steps": 3}')
print({'a trainer': 1.0}, flush=True)
time.sleep(60)"""
  outcome = child.run([sys.executable, '-c', program], 3.0)
  assert outcome.result == {'steps': 3}
  assert outcome.seconds < 30
  assert outcome.trouble.startswith('cut after')


def test_a_command_that_fails_says_why():
  outcome = child.run([sys.executable, '-c', "raise ValueError('no card')"], 60)
  assert outcome.result == {}
  assert 'exit status 1' in outcome.trouble
  assert 'no card' in outcome.trouble


def test_random_arrays_have_the_shapes_and_lie_where_they_say():
  mesh = sharding.make_mesh(2, 2, 2)
  split, whole = sharding.batch_sharding(mesh), sharding.replicated(mesh)

  def shape(*sizes, dtype, sharding):
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)

  key = jax.eval_shape(lambda: jax.random.key(0))
  shapes = {
    'weights': shape(64, 64, dtype=jnp.bfloat16, sharding=split),
    'mask': shape(8, dtype=jnp.bool_, sharding=whole),
    'step': shape(dtype=jnp.int32, sharding=whole),
    'key': shape(dtype=key.dtype, sharding=whole),
  }
  arrays = random_arrays(shapes, 0.5)
  for name, leaf in arrays.items():
    assert leaf.dtype == shapes[name].dtype
    assert leaf.sharding.is_equivalent_to(shapes[name].sharding, leaf.ndim)
  weights = np.asarray(arrays['weights'], np.float32)
  assert 0.45 < weights.std() < 0.55
  assert np.asarray(arrays['mask']).all()
  assert arrays['step'] == 0
  assert not np.asarray(random_arrays(shapes, 0)['weights']).any()


def test_utilization_is_of_a_card_that_is_listed():
  name = 'NVIDIA H100 80GB HBM3'
  assert cards.utilization(name, flops=989e12, seconds=2.0) == 0.5
  assert cards.utilization('cpu', flops=1.0, seconds=1.0) is None


@pytest.mark.slow
def test_a_rehearsal_writes_a_result_of_both_sides(tmp_path):
  command = ['benchmarks/device.sh', '--rehearse', '--only=llm']
  done = subprocess.run(
    [*command, f'--out={tmp_path}'],
    cwd=ROOT,
    env={**os.environ, 'PYTHON': sys.executable},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  report = json.loads((tmp_path / 'llm.json').read_text())
  assert report['rehearsal']
  assert report['trouble'] == {}
  ours = report['sides']['jax']
  assert ours['steps'] == 2
  assert ours['model_flops']['update'] > 0
  assert set(ours['tokens_per_second']) == {'rollout', 'update', 'step'}
  if importlib.util.find_spec('trl'):
    assert report['sides']['trl']['steps'] == 2
    assert {'rollout', 'update', 'step'} <= set(report['over_peer']['trl'])
  else:
    assert report['not_installed']['trl']
