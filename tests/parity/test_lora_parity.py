"""diffusers and PEFT load our adapters, and we load theirs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')
peft = pytest.importorskip('peft')

from closeness import distance
import merged_lora
import tiny_sd3
from tiny_sd3 import ROWS, VARIANTS

from adrpo_jax.models import lora
from adrpo_jax.models.files import lora_files
from adrpo_jax.models.sd3.mmdit import MMDiT

pytestmark = pytest.mark.parity

EVERY = r'(to_|add_|ff|norm|context_embedder|timestep_embedder|proj_out)'


def _both(name, folder):
  """(theirs, our parameters, inputs) with the same base weights."""
  config = VARIANTS[name]
  model = tiny_sd3.theirs(config)
  model.save_pretrained(folder)
  params = tiny_sd3.load(folder, config)
  return config, model, params, tiny_sd3.inputs(config, 8, 6)


def _trained(params, rank, targets):
  """Adapters as after training: B is not 0."""
  adapters = lora.init(params, rank, jax.random.key(0), targets)
  keys = iter(jax.random.split(jax.random.key(1), 999))
  return {
    name: {
      'a': pair['a'],
      'b': 0.1 * jax.random.normal(next(keys), pair['b'].shape),
    }
    for name, pair in adapters.items()
  }


@pytest.mark.parametrize('targets', [lora.ATTENTION, EVERY])
@pytest.mark.parametrize('name', VARIANTS)
def test_ours_loads_in_diffusers(name, targets, tmp_path):
  config, model, params, inputs = _both(name, tmp_path / 'base')
  adapters = _trained(params, 4, targets)
  scale = 16 / 4  # Wrong, if alpha were lost on the way.
  lora_files.save(tmp_path / lora_files.FILE, ROWS, adapters, scale)
  ours = MMDiT(config)
  attached = lora.attach(params, adapters, scale)
  expected = tiny_sd3.our_velocity(ours, attached, *inputs)
  before = tiny_sd3.their_velocity(model, *inputs).detach()
  model.load_lora_adapter(
    str(tmp_path), use_safetensors=True, prefix='transformer'
  )
  theirs = tiny_sd3.their_velocity(model, *inputs).detach()
  assert distance(before, theirs) > 0.05
  assert distance(expected, theirs) < 1e-4
  merged = merged_lora.merge(params, adapters, scale)
  plain = tiny_sd3.our_velocity(ours, merged, *inputs)
  assert distance(plain, expected) < 1e-4


def test_a_pipeline_loads_it(tmp_path):
  config, model, params, inputs = _both('sd3', tmp_path / 'base')
  adapters = _trained(params, 4, lora.ATTENTION)
  lora_files.save(tmp_path / lora_files.FILE, ROWS, adapters, 2.0)
  pipeline = diffusers.StableDiffusion3Pipeline(
    transformer=model,
    scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    vae=None,
    text_encoder=None,
    tokenizer=None,
    text_encoder_2=None,
    tokenizer_2=None,
    text_encoder_3=None,
    tokenizer_3=None,
  )
  pipeline.load_lora_weights(str(tmp_path))
  attached = lora.attach(params, adapters, 2.0)
  expected = tiny_sd3.our_velocity(MMDiT(config), attached, *inputs)
  theirs = tiny_sd3.their_velocity(pipeline.transformer, *inputs).detach()
  assert distance(expected, theirs) < 1e-4


def _adapted(model, alpha=6, **changes):
  torch.manual_seed(1)
  settings = peft.LoraConfig(
    r=3,
    lora_alpha=alpha,
    init_lora_weights=False,  # Random: B is not 0.
    **{'target_modules': ['attn.to_q', 'ff.net.2', 'proj_out']} | changes,
  )
  model.add_adapter(settings)
  return model


@pytest.mark.parametrize(
  'changes',
  [
    {},
    {'rank_pattern': {'ff.net.2': 5}, 'alpha_pattern': {'ff.net.2': 2}},
    {'use_rslora': True},
    {'target_modules': r'transformer_blocks\.1\..*to_(q|v)'},
  ],
  ids=['plain', 'patterns', 'rslora', 'one layer'],
)
def test_theirs_loads_here(changes, tmp_path):
  config, model, params, inputs = _both('sd3', tmp_path / 'base')
  _adapted(model, **changes).save_lora_adapter(str(tmp_path / 'adapter'))
  expected = tiny_sd3.their_velocity(model, *inputs).detach()
  adapters = lora_files.load(tmp_path / 'adapter', ROWS, params)
  attached = lora.attach(params, adapters, 1.0)
  ours = tiny_sd3.our_velocity(MMDiT(config), attached, *inputs)
  plain = tiny_sd3.our_velocity(MMDiT(config), params, *inputs)
  assert distance(ours, plain) > 0.01
  assert distance(ours, expected) < 1e-4


def test_a_peft_folder_loads_here(tmp_path):
  config, model, params, inputs = _both('sd3', tmp_path / 'base')
  settings = peft.LoraConfig(
    r=3, lora_alpha=6, init_lora_weights=False, target_modules=['attn.to_q']
  )
  wrapped = peft.get_peft_model(model, settings)
  wrapped.save_pretrained(tmp_path / 'adapter')
  written = json.loads((tmp_path / 'adapter/adapter_config.json').read_text())
  assert written['lora_alpha'] == 6
  expected = tiny_sd3.their_velocity(wrapped, *inputs).detach()
  adapters = lora_files.load(tmp_path / 'adapter', ROWS, params)
  attached = lora.attach(params, adapters, 1.0)
  ours = tiny_sd3.our_velocity(MMDiT(config), attached, *inputs)
  assert distance(ours, expected) < 1e-4


def test_gradients_of_attached_adapters_are_those_of_merged_ones(tmp_path):
  config, _, params, inputs = _both('sd35', tmp_path)
  adapters = _trained(params, 2, EVERY)
  ours = MMDiT(config)

  def loss(way):
    def of(adapters):
      full = way(params, adapters, 2.0)
      return jnp.sum(tiny_sd3.our_velocity(ours, full, *inputs) ** 2)

    return jax.jit(jax.grad(of))(adapters)

  merged, attached = loss(merged_lora.merge), loss(lora.attach)
  largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(merged))
  for a, b in zip(*map(jax.tree.leaves, (attached, merged)), strict=True):
    assert np.abs(a - b).max() < 1e-5 * largest
