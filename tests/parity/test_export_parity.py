"""diffusers makes the same images as we do from an exported run."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')

from closeness import distance
import jax
import small_run

from adrpo_jax.checkpoint import Checkpoints
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.sd3.export import save_transformer
from adrpo_jax.models.sd3.mmdit import MMDiT

pytestmark = [pytest.mark.parity, pytest.mark.slow]


@pytest.mark.parametrize('rank', [0, 2])
def test_diffusers_loads_what_a_run_exports(rank, tmp_path):
  settings = {
    'model__path': str(small_run.base_folder(blocks=2)),
    'steps': 2,
    'model__lora_rank': rank,
    'training__learning_rate': 0.03,
  }
  flags = [*small_run.arguments(**settings), f'--workdir={tmp_path}']
  for mode in ('train', 'export'):
    status, _, err = small_run.call(*flags, f'--mode={mode}')
    assert status == 0, err
  run = small_run.build(small_run.make_config(**settings))
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    state = checkpoints.restore(run.abstract).state
  policy = run.policy(state, run.frozen)

  mmdit, folder = small_run.models(blocks=2).mmdit, tmp_path / 'export'
  if rank:
    folder = tmp_path / 'base'
    save_transformer(folder, mmdit, jax.device_get(run.frozen['reference']))
  model = diffusers.SD3Transformer2DModel.from_pretrained(
    folder, subfolder='transformer'
  )
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 8, 8, 8)).astype(np.float32)
  states = rng.normal(size=(2, 5, 32)).astype(np.float32)
  pooled = rng.normal(size=(2, 32)).astype(np.float32)
  sigma = np.array([0.2, 0.9], np.float32)

  def theirs():
    with torch.no_grad():
      return model(
        torch.tensor(x.transpose(0, 3, 1, 2)),
        torch.tensor(states),
        torch.tensor(pooled),
        1000 * torch.tensor(sigma),
      )[0].permute(0, 2, 3, 1)

  def ours(params):
    return MMDiT(mmdit).apply(params, x, sigma, Condition(states, pooled))

  if rank:
    assert distance(ours(run.frozen['reference']), theirs()) < 2e-5
    model.load_lora_adapter(
      str(tmp_path / 'export'), use_safetensors=True, prefix='transformer'
    )
  assert distance(ours(run.frozen['reference']), theirs()) > 1e-3
  assert distance(ours(policy), theirs()) < 1e-4
