"""Times a checkpoint of full training on one host of several.

  export PYTHONPATH=.
  export PYTHONPATH=.
  python benchmarks/checkpoint_time.py \\
    --out=benchmarks/results/checkpoint_time.json

Every host writes its share of each array. The state is that of
configs/t2i.py:sd3_medium with all weights trained; with --hosts=16 this process
writes a 16th of it, as one of the hosts of 64 chips does. Seconds are those
since the call of `save`, on the disk of --folder:

  copied    `save` has returned, and training may go on
  complete  meta.json is there, so a run goes on from this checkpoint
  checked   the checksums of all files are there

A host that is told to stop needs `complete`.
"""

import argparse
import json
import pathlib
import runpy
import statistics
import tempfile
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax import builders
from adrpo_jax.builders.abstract_stages import stages_of
from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.system.files import replacing
from benchmarks.processor import processor

GIB = 2**30


def run() -> None:
  """Saves several times, prints the medians and writes them as JSON."""
  arguments = argparse.ArgumentParser(description=__doc__)
  arguments.add_argument('--hosts', type=int, default=16)
  arguments.add_argument('--repeats', type=int, default=3)
  arguments.add_argument('--folder', default=None)
  arguments.add_argument('--out', type=pathlib.Path, required=True)
  options = arguments.parse_args()
  state = abstract_state()
  whole = sum(leaf.size * leaf.dtype.itemsize for leaf in state)
  rows = []
  for seed in range(options.repeats):
    # Random, since orbax compresses.
    draw = np.random.default_rng(seed)
    share = [
      jnp.asarray(
        draw.standard_normal(-(-leaf.size // options.hosts), np.float32),
        leaf.dtype,
      )
      for leaf in state
    ]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
      rows.append(seconds_of_save(pathlib.Path(folder), share))
    print(rows[-1], flush=True)
  result = {
    'state_gib': whole / GIB,
    'hosts': options.hosts,
    'host_gib': whole / options.hosts / GIB,
    'processor': processor(),
    'seconds': {
      name: statistics.median(row[name] for row in rows) for name in rows[0]
    },
  }
  with replacing(options.out) as new:
    new.write_text(json.dumps(result, indent=1))
  print(json.dumps(result, indent=1))


def abstract_state() -> list[jax.ShapeDtypeStruct]:
  """Returns the arrays of a state that trains all weights of SD3-medium."""
  config = runpy.run_path('configs/t2i.py')['get_config']('sd3_medium')
  config.model.lora_rank = 0
  config.mesh.fsdp = 1
  mesh = builders.make_mesh(config, jax.devices())
  update = stages_of(config, mesh)['update']
  return jax.tree.leaves(update.arguments[0])


def seconds_of_save(
  folder: pathlib.Path, state: list[jax.Array]
) -> dict[str, float]:
  """Saves a state once, and returns when each part of it was done."""
  done = {}
  began = time.monotonic()

  def watch() -> None:
    while not (folder / '00000001' / 'meta.json').exists():
      time.sleep(0.005)
    done['complete'] = time.monotonic() - began

  watcher = threading.Thread(target=watch, daemon=True)
  with Checkpoints(folder) as checkpoints:
    watcher.start()
    checkpoints.save(1, dict(enumerate(state)), {})
    copied = time.monotonic() - began
    checkpoints.wait()
    checked = time.monotonic() - began
  watcher.join()
  return {'copied': copied, 'complete': done['complete'], 'checked': checked}


if __name__ == '__main__':
  run()
