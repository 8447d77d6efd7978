"""compute.products: what it chooses, and that the programs of a run obey."""

import json

import jax
import numpy as np
import pytest
import small_run

from adrpo_jax import builders, sharding
from adrpo_jax.builders import precision

FAMILIES = [('t2i', 'debug'), ('llm', 'tiny_hf'), ('audio', 'tiny_hf')]


def config_of(products, file='t2i', preset='debug'):
  changes = small_run.options(file, compute__products=products)
  return small_run.preset_config(preset, changes, file)


def mesh():
  return sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])


@pytest.mark.parametrize(
  ('speeds', 'chosen'),
  [
    ({'float32': 250.0, 'bfloat16': 1000.0}, 'bfloat16'),
    ({'float32': 250.0, 'bfloat16': 300.0}, 'float32'),
    ({'float32': 250.0, 'bfloat16': 100.0}, 'float32'),
  ],
)
def test_auto_takes_what_is_clearly_faster(monkeypatch, speeds, chosen):
  monkeypatch.setattr(precision, '_gigaflops', speeds.get)
  said = []
  config = builders.with_products(config_of('auto'), mesh(), report=said.append)
  assert config.compute.products == chosen
  assert said[0].startswith(f'compute.products is {chosen}: 250 GFLOP/s')


def test_auto_measures():
  assert precision.choose(mesh()).products in ('float32', 'bfloat16')


def test_a_run_that_goes_on_keeps_its_choice(monkeypatch):
  monkeypatch.setattr(precision, 'choose', lambda mesh: pytest.fail('measured'))
  config = builders.with_products(config_of('auto'), mesh(), 'bfloat16')
  assert config.compute.products == 'bfloat16'


def test_processes_together_do_not_measure(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  assert precision.choose(mesh()).products == 'default'


@pytest.mark.parametrize(
  ('products', 'file', 'preset'),
  [
    ('default', *FAMILIES[0]),
    ('float32', *FAMILIES[0]),
    *[('bfloat16', *family) for family in FAMILIES],
  ],
)
def test_rollout_and_update_have_these_products(products, file, preset):
  run = builders.build(config_of(products, file, preset), mesh())
  state, prompts, key = run.init(), run.prompts_at(0), jax.random.key(0)
  drawing = state.params, run.frozen, prompts, key
  samples = jax.eval_shape(run.rollout, *drawing)
  training = samples, small_run.made_scores(), prompts, key
  for text in (
    run.rollout.lower(*drawing).as_text(),
    run.update.lower(state, run.frozen, *training).as_text(),
  ):
    assert ('bf16' in text) == (products == 'bfloat16')
    # Group norms and the like are exact anyway.
    exact = [line for line in text.splitlines() if 'dot_general' in line]
    highest = ['HIGHEST' in line for line in exact]
    assert (np.mean(highest) > 0.9) == (products == 'float32')
  assert (run.replay_tolerance > 1) == (products == 'bfloat16')


def test_a_whole_run_says_what_it_took(tmp_path, monkeypatch):
  speeds = {'float32': 1.0, 'bfloat16': 9.0}
  monkeypatch.setattr(precision, '_gigaflops', speeds.get)
  flags = small_run.arguments(steps=1, compute__products='auto')
  status, out, err = small_run.call(*flags, f'--workdir={tmp_path / "run"}')
  assert status == 0, err
  assert 'compute.products is bfloat16' in out
  stored = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert stored['config']['compute']['products'] == 'bfloat16'
