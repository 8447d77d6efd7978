"""The guidance scale of rollout, loss and evaluation: each has its own key."""

import dataclasses

import jax
import pytest
import small_run

from adrpo_jax import sharding
from adrpo_jax.builders import flops
from adrpo_jax.builders.abstract_stages import stages_of
from adrpo_jax.errors import InputError
from adrpo_jax.modalities import flow
from adrpo_jax.models.tiny import sd3 as sd3_tiny

SCALES = {
  'sampler__guidance_scale': 2.0,
  'training__guidance_scale': 3.0,
  'eval__guidance_scales': (1.5, 4.0),
}


def test_each_use_has_the_scale_of_its_key(monkeypatch):
  make, made = flow.make_modality, []

  def watched(method, settings):
    made.append((settings.rollout_guidance, settings.training_guidance))
    return make(method, settings)

  monkeypatch.setattr(flow, 'make_modality', watched)
  small_run.build(small_run.make_config(**SCALES))
  training, drawn, *evaluated = made
  assert training == (2.0, 3.0)
  assert drawn == (1.5, 1.5)
  assert sorted(evaluated) == [(1.5, 1.5), (4.0, 4.0)]


def test_a_method_of_trajectories_is_guided_alike_in_rollout_and_loss():
  """The error comes before the base is read, which is not there."""
  own = {'method__name': 'flow_grpo', 'model__path': '/nowhere'}
  with pytest.raises(InputError) as error:
    small_run.build(small_run.make_config(**own, **SCALES))
  assert 'config.sampler.guidance_scale and' in str(error.value)
  assert 'config.training.guidance_scale for' in str(error.value)
  assert 'got 2.0 and 3.0' in str(error.value)
  alike = SCALES | {'training__guidance_scale': 2.0}
  with pytest.raises(InputError, match='/nowhere'):
    small_run.build(small_run.make_config(**own, **alike))


def test_a_stage_of_two_forwards_has_twice_the_operations(tmp_path):
  blocks = dataclasses.replace(sd3_tiny.TRANSFORMER, num_layers=1)
  changes = {
    'model.family': 'sd3',
    'model.path': str(sd3_tiny.write(tmp_path / 'sd3', blocks)),
    'sampler.steps': 1,
    'compute.microbatches': 1,
    'reward.weights.clip_score': 0.0,
    'reward.weights.jpeg_compressibility': 1.0,
    'training.guidance_scale': 1.0,
  }
  mesh = sharding.make_mesh(1, 1, 1, devices=jax.devices()[:1])

  def operations(scale):
    guided = changes | {'sampler.guidance_scale': scale}
    stages = stages_of(small_run.preset_config('sd3_tiny', guided), mesh)
    called = (stages[name] for name in ('rollout', 'update'))
    return [flops.count(stage.function, *stage.arguments) for stage in called]

  rollout, update = operations(1.0)
  assert operations(2.0) == pytest.approx([2 * rollout, update], rel=0.02)
