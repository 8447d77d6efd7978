"""diffusers loads the adapter that a run of `:sd3_tiny` exports."""

import pathlib

import numpy as np
import pytest

pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')
pytest.importorskip('peft')

from closeness import distance
from diffusers_model import velocity_of
import jax
import jax.numpy as jnp
import small_run

from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.sd3.mmdit import MMDiT
from adrpo_jax.models.tiny import sd3 as sd3_tiny

pytestmark = [pytest.mark.parity, pytest.mark.slow]

CONFIG = f'--config={small_run.ROOT}/configs/t2i.py:sd3_tiny'


@pytest.mark.parametrize('rank', [2, 0])
def test_from_a_folder_to_an_adapter_that_diffusers_loads(rank, tmp_path):
  changes = {'model.lora_rank': rank, 'training.learning_rate': 0.03}
  flags = [CONFIG, *(f'--config.{k}={v}' for k, v in changes.items())]
  for mode in ('train', 'export'):
    status, out, err = small_run.call(
      *flags, f'--mode={mode}', f'--workdir={tmp_path}'
    )
    assert status == 0, err
  assert (tmp_path / 'report.html').exists()
  exported = pathlib.Path(out.split('Exported: ')[1].strip())

  environment = small_run.process_environment()
  cache = pathlib.Path(environment['XDG_CACHE_HOME']) / 'adrpo_jax'
  pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(
    cache / 'sd3_tiny'
  )
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 8, 8, 16)).astype(np.float32)
  states = rng.normal(size=(2, 5, 48)).astype(np.float32)
  pooled = rng.normal(size=(2, 32)).astype(np.float32)
  sigma = np.array([0.2, 0.9], np.float32)

  def theirs(model):
    return velocity_of(model, x, sigma, states, pooled)

  base = theirs(pipeline.transformer)
  if rank:
    pipeline.load_lora_weights(str(exported.parent))
    tuned = theirs(pipeline.transformer)
  else:
    tuned = theirs(
      diffusers.SD3Transformer2DModel.from_pretrained(exported.parent)
    )

  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', environment['XDG_CACHE_HOME'])
    config = small_run.preset_config('sd3_tiny', changes)
    run = small_run.build(config)
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    state = checkpoints.restore(run.abstract).state
  velocity = jax.jit(MMDiT(sd3_tiny.TRANSFORMER).apply)
  condition = Condition(jnp.asarray(states), jnp.asarray(pooled))
  ours = velocity(run.policy(state, run.frozen), x, sigma, condition)
  assert distance(base, tuned) > 1e-3
  assert distance(ours, tuned) < 1e-4
  plain = velocity(run.frozen['reference'], x, sigma, condition)
  assert distance(plain, base) < 1e-4
