"""One of several processes with four CPU devices each; run by tests.

python two_processes.py RANK COUNT PORT FOLDER ACTION
"""

import os
import pathlib
import signal
import sys
import time

import jax

jax.config.update('jax_num_cpu_devices', 4)
rank, count, port = (int(word) for word in sys.argv[1:4])
if count > 1:
  jax.distributed.initialize(f'localhost:{port}', count, rank)

import jax.numpy as jnp  # noqa: E402
from made_state import assert_same_bits, made_state  # noqa: E402
import numpy as np  # noqa: E402

from adrpo_jax import sharding  # noqa: E402
from adrpo_jax.checkpoint import Checkpoints  # noqa: E402
from adrpo_jax.metrics import MetricsLog  # noqa: E402
from adrpo_jax.models.files.safetensors_trees import load_tree, save_tree  # noqa: E402
from adrpo_jax.system.preemption import Preemption  # noqa: E402
from adrpo_jax.system.records import cut_back  # noqa: E402

folder = pathlib.Path(sys.argv[4])
mesh = sharding.make_mesh(fsdp=2, tensor=2)
shapes = jax.eval_shape(made_state, 0)
shardings = sharding.tree_shardings(shapes, mesh)
make = jax.jit(made_state, out_shardings=shardings)
wanted = sharding.abstract(shapes, shardings)


def local(tree):
  """What this process holds of a tree of global arrays."""
  return jax.tree.map(lambda x: [s.data for s in x.addressable_shards], tree)


def save_and_be_preempted():
  """Trains to nothing, saving, until process 1 is told to stop."""
  with (
    Checkpoints(folder / 'checkpoints') as checkpoints,
    MetricsLog(folder / 'metrics.jsonl') as log,
    Preemption() as preemption,
  ):
    for step in range(1000):
      if preemption.requested(step):
        checkpoints.save(step, make(step), {'rank': rank})
        checkpoints.wait()
        print('PREEMPTED', step, flush=True)
        return
      log.write(step, {'rank': rank})
      if step in (2, 4):
        checkpoints.save(step, make(step), {'rank': rank})
      if step == 3 and rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(0.1)


def restore_and_compare():
  """Restores what one process saved; then data and weights in and out."""
  with Checkpoints(folder / 'checkpoints') as checkpoints:
    restored = checkpoints.restore(wanted)
  assert_same_bits(local(restored.state), local(make(restored.step)))
  cut_back(folder / 'metrics.jsonl', 2)

  whole = np.arange(48.0, dtype=np.float32).reshape(8, 6)
  batch = sharding.put_rows(mesh, {'x': whole})['x']
  own = {tuple(s.index[0].indices(8)) for s in batch.addressable_shards}
  assert len(own) * batch.addressable_shards[0].data.shape[0] == 8 // count
  weights = jnp.arange(8.0)[:, None]
  assert jnp.sum(batch * weights) == np.sum(whole * np.arange(8)[:, None])

  path = folder / 'weights.safetensors'
  host = sharding.on_first_process(restored.state.params)
  assert (host is None) == (rank > 0)
  if rank == 0:
    save_tree(path, host)
  jax.experimental.multihost_utils.sync_global_devices('written')
  loaded = load_tree(path, wanted.params)
  assert_same_bits(local(loaded), local(restored.state.params))
  print('RESTORED', restored.step, restored.meta['rank'], flush=True)


def save_for_ever():
  """Goes on from the newest checkpoint, saving each step, until killed."""
  with Checkpoints(folder / 'checkpoints') as checkpoints:
    restored = checkpoints.restore(wanted)
    step = 0
    if restored is not None:
      step = restored.step
      assert_same_bits(local(restored.state), local(make(step)))
    print('STARTED', step, flush=True)
    while True:
      step += 1
      checkpoints.save(step, make(step), {'rank': rank})


{
  'save_and_be_preempted': save_and_be_preempted,
  'restore_and_compare': restore_and_compare,
  'save_for_ever': save_for_ever,
}[sys.argv[5]]()
