"""Stored reports, by what their commands count without a compilation."""

import json
import pathlib

import pytest
import small_run

from adrpo_jax import sharding
from adrpo_jax.builders import flops
from adrpo_jax.builders.abstract_stages import stages_of
from adrpo_jax.compile import programs

REPORTS = pathlib.Path(__file__).parents[2] / 'benchmarks' / 'results' / 'tpu'
PREFIX = '--config.'


def update_flops(report):
  """Operations of the update that the command of a report compiles."""
  words = [word for word in report['command'].split() if '=' in word]
  flags = dict(word.split('=', 1) for word in words)
  _, preset = flags['--config'].split(':')
  config = small_run.preset_config(preset, {}, 'audio')
  for name, value in flags.items():
    if name.startswith(PREFIX):
      config.update_from_flattened_dict(
        {name.removeprefix(PREFIX): json.loads(value.lower())}
      )
  samples = config.prompts.group_size
  config.prompts.prompts_per_step = report['samples'] // samples
  devices = programs.devices_of(flags['--topology'], 1)
  mesh = sharding.make_mesh(**config.mesh, devices=devices)
  update = stages_of(config, mesh)['update']
  return flops.count(update.function, *update.arguments) // len(devices)


@pytest.mark.slow
def test_a_prompt_that_is_read_once_costs_a_quarter():
  """The thinker of 7B, 30 s of sound, eight answers of 128 tokens."""
  pytest.importorskip('libtpu')
  counts = []
  for ending in ('', '_repeated'):
    file = REPORTS / f'omni_7b_lora_v5e_2x2{ending}.json'
    report = json.loads(file.read_text())
    counts.append(update_flops(report))
    stored = report['programs']['update']['flops']
    assert counts[-1] == pytest.approx(stored, rel=0.01), file.name
  assert 3.5 < counts[1] / counts[0] < 4.5
