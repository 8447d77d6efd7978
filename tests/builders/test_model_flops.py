"""The operations of released models, by hand."""

import jax.numpy as jnp
import pytest
import small_run

from adrpo_jax.builders import flops
from adrpo_jax.builders import model_flops as counts
from adrpo_jax.builders.model_flops import step_flops
from adrpo_jax.models.condition import Condition
from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.architectures import ARCHITECTURES
from adrpo_jax.models.decoder.decoder import Decoder
from adrpo_jax.models.sd3 import folder as sd3_folder
from adrpo_jax.models.sd3.mmdit import MMDiT

IMAGE, TEXT = (
  32 * 32,
  77 + 256,
)  # tokens: patches of 2 in latents of 64, prompts
LATENT, CONTEXT, POOLED, TIME = 16, 4096, 2048, 256


def attention_by_hand(layers, heads, dual=0):
  """4 · L² · width · layers, for one image of 512² and its text."""
  return 4 * 64 * heads * (layers * (IMAGE + TEXT) ** 2 + dual * IMAGE**2)


def mmdit_by_hand(layers, heads, dual=0):
  """2 · tokens · weights, and attention."""
  width, length = 64 * heads, IMAGE + TEXT
  block = 12 * width**2  # q, k, v: 3; output: 1; an MLP of four widths: 8
  products = layers * block * length - 9 * width**2 * TEXT  # The last has no
  # output and no MLP for the text. Scales, shifts and gates are from one vector
  # a row: six for each stream, but two of the last text's, three more if dual.
  vectors = (layers * 12 - 4 + dual * 3) * width**2 + 2 * width**2
  products += vectors + dual * 4 * width**2 * IMAGE
  products += 2 * (4 * LATENT) * width * IMAGE + CONTEXT * width * TEXT
  products += (TIME + POOLED + 2 * width) * width
  return 2 * products + attention_by_hand(layers, heads, dual)


@pytest.mark.parametrize(
  ('name', 'layers', 'heads', 'dual', 'teraflops'),
  [
    ('sd3_medium', 24, 24, 0, 2.1075),
    ('sd35_medium', 24, 24, 13, None),
    ('sd35_large', 38, 38, 0, None),
  ],
)
def test_a_row_of_stable_diffusion(name, layers, heads, dual, teraflops):
  config = sd3_folder.ARCHITECTURES[name].transformer
  condition = Condition(jnp.zeros((1, TEXT, CONTEXT)), jnp.zeros((1, POOLED)))
  inputs = jnp.zeros((1, 64, 64, LATENT)), jnp.zeros(1), condition
  params = sd3_folder.transformer_shapes(config, (64, 64))
  counted = flops.count(MMDiT(config).apply, params, *inputs)
  assert counted == pytest.approx(mmdit_by_hand(layers, heads, dual), rel=1e-3)
  if teraflops:
    assert counted / 1e12 == pytest.approx(teraflops, rel=1e-3)


def test_tokens_of_qwen3():
  """2 · tokens · weights + 4 · L² · heads · head size · layers; no logits."""
  config, length = ARCHITECTURES['qwen3_0p6b'], 640
  attention = 2 * 1024 * (16 + 8) * 128  # q and output; k and v
  weights = 28 * (attention + 3 * 1024 * 3072)
  by_hand = 2 * weights * length + 4 * 28 * length**2 * 16 * 128
  module = Decoder(config)
  rows = jnp.zeros((1, length), jnp.int32)
  arguments = rows, rows, jnp.ones((1, length), bool)
  params = decoder_folder.param_shapes(module)
  counted = flops.count(module.apply, params, *arguments)
  assert counted == pytest.approx(by_hand, rel=1e-3)


def test_a_step_of_adapters():
  """Policy and reference forward, then the policy backward.

  Backward, the base costs once for activations, attention and adapters twice.
  An adapter of rank r adds 2 · 2 · width · r for each token.
  """
  changes = {
    'model.architecture': 'sd3_medium',
    'model.lora_rank': 32,
    'sampler.guidance_scale': 1.0,
  }
  config = small_run.preset_config('sd3_medium', changes)
  samples = config.prompts.prompts_per_step * config.prompts.group_size
  base = mmdit_by_hand(24, 24)
  adapters = 4 * 24 * (IMAGE + TEXT) * (2 * 2 * 1536 * 32)
  asked = step_flops(config)
  assert asked['rollout'] == pytest.approx(
    samples * config.sampler.steps * (base + adapters), rel=1e-3
  )
  trained = samples * config.training.noise_draws
  row = 3 * base + attention_by_hand(24, 24) + 4 * adapters
  assert asked['update'] == pytest.approx(trained * row, rel=0.01)


@pytest.mark.parametrize(
  ('preset', 'changes', 'stages'),
  [
    ('qwen3_0p6b', {}, {'update'}),
    ('sd3_medium', {'method.name': 'dpo'}, {'update'}),
    ('debug', {}, set()),  # The shapes of a world are in its weights.
  ],
)
def test_operations_of_a_step_that_are_known(
  monkeypatch, preset, changes, stages
):
  counted = lambda config, only: dict.fromkeys(only, 1)  # noqa: E731
  monkeypatch.setattr(counts, 'model_flops', counted)
  file = 'llm' if preset.startswith('qwen') else 't2i'
  config = small_run.preset_config(preset, changes, file)
  assert set(step_flops(config)) == stages


def test_a_chunk_of_a_rollout_counts_as_often_as_it_runs(monkeypatch):
  counted = lambda config, only: dict.fromkeys(only, 5)  # noqa: E731
  monkeypatch.setattr(counts, 'model_flops', counted)
  config = small_run.preset_config('sd3_medium', {'compute.reward_chunks': 4})
  assert step_flops(config) == {'rollout': 20, 'update': 5}
