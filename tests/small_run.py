"""The smallest run of the whole path: a random base, and a config for it.

The base draws noise, so the reward tells noise from noise: closeness
to smooth images, by their size as JPEG. Everything else is as in a real run.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import io
import os
import pathlib
import sys
import tempfile

from absl.testing import flagsaver
import jax
import numpy as np
import pytest

from adrpo_jax import builders, main
from adrpo_jax.models.shapes import base as base_models
from adrpo_jax.pretrain import shapes
from adrpo_jax.system.records import parsed
from adrpo_jax.types import Scores

ROOT = pathlib.Path(__file__).parents[1]
P, G = 8, 2
OPTIONS = {
  'steps': 4,
  'prompts.prompts_per_step': P,
  'prompts.group_size': G,
  'eval.num_prompts': 8,
  'eval.group_size': 2,
  'eval.batch_size': 8,
  'eval.every': 0,
  'checkpoint.every': 1,
  'log.tensorboard': False,
}
SMALLEST = {
  't2i': 'debug',
  'llm': 'tiny_hf',
  'audio': 'tiny_hf',
}  # presets of the files
# With one block, the last, which is of another kind than those before it.
MODELS = shapes.SMALL_BASE._replace(
  mmdit=dataclasses.replace(
    shapes.SMALL_BASE.mmdit,
    num_layers=1,
    num_attention_heads=2,
    attention_head_dim=16,
    joint_attention_dim=32,
    pooled_projection_dim=32,
  ),
  text_encoder=dataclasses.replace(
    shapes.SMALL_BASE.text_encoder, width=32, layers=1, heads=2
  ),
  autoencoder=dataclasses.replace(
    shapes.SMALL_BASE.autoencoder, block_out_channels=(8, 8, 8)
  ),
)


@functools.cache
def folder_of_session():
  """A folder that goes when the tests end."""
  return tempfile.TemporaryDirectory(prefix='adrpo_jax_tests_')


def models(blocks=1):
  """The configs of the models of a base, with so many blocks of the MMDiT."""
  mmdit = dataclasses.replace(MODELS.mmdit, num_layers=blocks)
  return MODELS._replace(mmdit=mmdit)


@functools.cache
def base_folder(blocks=1):
  """A random base, saved once; no weight of it is zero."""
  folder = pathlib.Path(folder_of_session().name) / f'base_{blocks}'
  configs = models(blocks)
  params = jax.jit(lambda key: base_models.initialize(configs, key))
  drawn = shaken(params(jax.random.key(0)), 0.05)
  base_models.save(folder, configs._replace(params=drawn), {'made by': 'tests'})
  return folder


def shaken(tree, scale, seed=0):
  """Every leaf of a tree with noise of its own added."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: (
      np.asarray(leaf)
      + scale * rng.standard_normal(leaf.shape).astype(np.float32)
    ),
    tree,
  )


def options(file='t2i', **changes):
  """Dotted config keys with their values; `__` in a name stands for a dot."""
  changed = {name.replace('__', '.'): v for name, v in changes.items()}
  own = {'compute.microbatches': 1, 'compute.reward_chunks': 1}
  if file == 't2i':
    own = {'model.path': str(base_folder()), 'sampler.steps': 2}
  return OPTIONS | own | changed


def config_module(file):
  """The module of a file of configs/."""
  path = ROOT / 'configs' / f'{file}.py'
  spec = importlib.util.spec_from_file_location(file, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def preset_config(preset, changes, file='t2i'):
  """The config of a preset, with changes by dotted name."""
  config = config_module(file).get_config(preset)
  config.update_from_flattened_dict(changes)
  return config


def make_config(preset='', file='t2i', **changes):
  """The config of the smallest run of a file."""
  preset = preset or SMALLEST[file]
  return preset_config(preset, options(file, **changes), file)


def arguments(preset='', file='t2i', **changes):
  """The config of the smallest run as flags of the command line."""
  preset = preset or SMALLEST[file]
  flags = [f'--config.{k}={v}' for k, v in options(file, **changes).items()]
  return [f'--config={ROOT}/configs/{file}.py:{preset}', *flags]


def build(config, devices=1, **options):
  """The run of a config on the first of the devices."""
  mesh = builders.make_mesh(config, jax.devices()[:devices])
  return builders.build(config, mesh, **options)


def call(*flags, devices=1):
  """The command line in this process -> exit status, stdout, stderr."""
  out, err = io.StringIO(), io.StringIO()
  saved = flagsaver.save_flag_values()
  with (
    pytest.MonkeyPatch.context() as patch,
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    for name, value in process_environment().items():
      patch.setenv(name, value)
    patch.setattr(sys, 'argv', ['adrpo_jax.main', *flags])
    try:
      status = main.main(sys.argv, jax.devices()[:devices])
    finally:
      flagsaver.restore_flag_values(saved)
  return status, out.getvalue(), err.getvalue()


def refused(workdir, *extra, devices=1, **changes):
  """What the command line says to bad input: an error, no traceback."""
  flags = [*arguments(**changes), *extra, f'--workdir={workdir}']
  status, out, err = call(*flags, devices=devices)
  assert status == 2
  assert any(line.startswith('error: ') for line in err.splitlines())
  assert 'Traceback' not in out + err
  return err


def records(path):
  """The records of a .jsonl file, which differ from no checksum."""
  return [parsed(line) for line in path.read_text().splitlines()]


def made_scores(invalid=()):
  """Rewards that differ within every group; `invalid` samples are not known."""
  rewards = np.random.default_rng(1).random((P, G)).astype(np.float32)
  valid = np.ones((P, G), bool)
  for place in invalid:
    valid[place] = False
  return Scores(rewards, valid, {})


def made_step(run, *, x0=None, scores=None):
  """What `run.update` takes after the state: made-up samples and scores."""
  if x0 is None:
    x0 = np.random.default_rng(2).standard_normal((P, G, 8, 8, 8))
  samples = run.place({'x0': np.asarray(x0, np.float32)})
  prompts = run.prompts_at(0)
  key = jax.random.key(5)
  return run.frozen, samples, scores or made_scores(), prompts, key


def process_environment(**changes):
  """Returns the environment of a subprocess: one CPU device, our cache."""
  cache = jax.config.jax_compilation_cache_dir
  return os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'JAX_COMPILATION_CACHE_DIR': cache,
    'XDG_CACHE_HOME': f'{folder_of_session().name}/cache',
    'PYTHONPATH': str(ROOT),
    **changes,
  }
