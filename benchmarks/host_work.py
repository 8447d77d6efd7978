"""Measures the work of a host in a step, for one host of a pod.

  PYTHONPATH=. python benchmarks/host_work.py \\
    --out=benchmarks/results/host_work.json

A pod of 64 hosts with four chips each gives two prompts to a chip, so 512 in a
step of SD3-medium, each with eight samples at 512². A host works on its own
eight prompts, or on all 512 where it must; both are measured here:

  prompts   reads their conditions: 333 × 4096 and 2048 numbers in bfloat16
  transfer  copies the images of a host reward from the device, in uint8; here
            the device is a CPU, so this is memory alone
  reward    judges them: the size of a JPEG, which needs a core and no model
  logging   makes the line of a step and writes it, with TensorBoard's mirror

Seconds are those of all cores together, the least of some repeats.
"""

import argparse
from collections.abc import Callable
import json
import pathlib
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.metrics import MetricsLog
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.prompt_cache import PromptCache
from adrpo_jax.rewards.host.host_reward import HostReward
from adrpo_jax.rewards.jpeg import compressibility
from adrpo_jax.system.files import replacing
from adrpo_jax.train import record
from adrpo_jax.types import PromptBatch, Scores, Weights
from benchmarks.processor import processor

MIB = 2**20
SAMPLES, EDGE = 8, 512
TOKENS, WIDTH, POOLED = 77 + 256, 4096, 2048


def run() -> None:
  """Measures one host and all hosts' prompts, prints and writes the result."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--hosts', type=int, default=64)
  parser.add_argument('--prompts', type=int, default=8, help='of a host')
  parser.add_argument('--repeats', type=int, default=3)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  options = parser.parse_args()
  own, every = options.prompts, options.prompts * options.hosts
  with tempfile.TemporaryDirectory() as folder:
    works = {
      'prompts_own': prompts_work(pathlib.Path(folder) / 'own', own),
      'prompts_all': prompts_work(pathlib.Path(folder) / 'all', every),
      'transfer_own': transfer_work(own),
      'reward_own': reward_work(own),
      'logging_all': logging_work(pathlib.Path(folder), every),
    }
    result = {
      'hosts': options.hosts,
      'prompts_of_a_host': own,
      'processor': processor(),
      'work': {
        name: {
          'cpu_seconds': least(work, options.repeats),
          'mib': size / MIB,
        }
        for name, (work, size) in works.items()
      },
    }
  with replacing(options.out) as new:
    new.write_text(json.dumps(result, indent=1))
  print(json.dumps(result, indent=1))


def least(work: Callable[[], Any], repeats: int) -> float:
  """Returns the least seconds of all cores together, over repeats."""
  work()  # Threads are started, and functions compiled.
  seconds = []
  for _ in range(repeats):
    began = time.process_time()
    work()
    seconds.append(time.process_time() - began)
  return min(seconds)


def prompts_work(
  folder: pathlib.Path, count: int
) -> tuple[Callable[[], Any], int]:
  """Returns what reads the conditions of a step, and its bytes."""
  texts = [f'prompt {i}' for i in range(count)]
  draw = np.random.default_rng(0)
  condition = Condition(
    draw.standard_normal((TOKENS, WIDTH), np.float32).astype(jnp.bfloat16),
    draw.standard_normal(POOLED, np.float32).astype(jnp.bfloat16),
  )
  cache = PromptCache(folder, lambda new: ((text, condition) for text in new))
  rows = cache(texts)
  size = count * sum(leaf.nbytes for leaf in condition)
  return (lambda: rows(np.arange(count))), size


def transfer_work(count: int) -> tuple[Callable[[], Any], int]:
  """Returns what brings images to the host, and their bytes."""
  images = made_images(count)
  pixels = (images * 255).astype(jnp.uint8)
  return (lambda: np.array(pixels)), pixels.nbytes


def reward_work(count: int) -> tuple[Callable[[], Any], int]:
  """Returns what judges images on the host, and their bytes in uint8."""
  images = made_images(count)
  texts = [f'prompt {i}' for i in range(count)]
  reward = HostReward(compressibility(), texts, name='jpeg')
  prompts = PromptBatch.of_step(np.arange(count))
  return (lambda: jax.device_get(reward(prompts, images))), images.size


def made_images(count: int) -> jax.Array:
  """Returns smooth images, [P, G, 512, 512, 3] in [0, 1]."""
  coarse = jax.random.uniform(jax.random.key(0), (count, SAMPLES, 16, 16, 3))
  shape = (count, SAMPLES, EDGE, EDGE, 3)
  return jnp.clip(jax.image.resize(coarse, shape, 'cubic'), 0, 1)


def logging_work(
  folder: pathlib.Path, count: int
) -> tuple[Callable[[], Any], int]:
  """Returns what writes the line of a step, and the bytes it reads."""
  draw = np.random.default_rng(0)
  shape = (count, SAMPLES)
  scores = Scores(draw.random(shape), np.ones(shape, bool), {})
  metrics = {
    'weights': Weights(draw.random(shape), draw.random(shape)),
    'beta': draw.random(shape),
    'usable': np.ones(shape, bool),
    'policy': 0.5,
    'loss': 0.5,
  }
  log = MetricsLog(folder / 'metrics.jsonl', tensorboard=folder / 'board')
  timings = {'seconds_rollout': 1.0, 'seconds_update': 1.0}
  return (lambda: log.write(0, record(metrics, scores, timings))), sum(
    leaf.nbytes for leaf in jax.tree.leaves((scores, metrics['weights']))
  )


if __name__ == '__main__':
  run()
