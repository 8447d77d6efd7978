"""Compares CLIP's towers and T5's encoder with transformers, and gradients."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

from closeness import TOLERANCE, check_gradients, distance
import jax
import jax.numpy as jnp

from adrpo_jax.models.clip.towers import (
  ClipText,
  ClipTextConfig,
  ClipVision,
  ClipVisionConfig,
)
from adrpo_jax.models.compute import Compute
from adrpo_jax.models.files import text_encoder_tables, weight_table
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.sd3.t5 import T5Config, T5Encoder

pytestmark = pytest.mark.parity

SIZES = {
  'hidden_size': 16,
  'intermediate_size': 24,
  'projection_dim': 12,
  'num_hidden_layers': 3,
  'num_attention_heads': 2,
}


def shaken(model):
  """Changes norms of one and biases of zero, which would hide mix-ups."""
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(0.1 * torch.randn_like(parameter))
  return model.eval()


def loaded(model, folder, rows, *inputs):
  shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
  with tensor_files(folder) as files:
    return weight_table.load(files, rows, shapes, 'position_ids|embed_tokens')


@pytest.mark.parametrize('scan_layers', [False, True])
@pytest.mark.parametrize(
  ('activation', 'end'), [('quick_gelu', 2), ('gelu', 40)]
)
def test_clip_text(activation, end, scan_layers, tmp_path):
  torch.manual_seed(0)
  sizes = SIZES | {
    'vocab_size': 50,
    'max_position_embeddings': 9,
    'hidden_act': activation,
    'eos_token_id': end,
  }
  theirs = shaken(
    transformers.CLIPTextModelWithProjection(
      transformers.CLIPTextConfig(**sizes, bos_token_id=0, pad_token_id=1)
    )
  )
  theirs.save_pretrained(tmp_path)
  rng = np.random.default_rng(0)
  tokens = rng.integers(3, 40, (3, 9))
  tokens[range(3), [4, 8, 6]] = 49 if end == 2 else end
  if end != 2:
    tokens[range(3), [2, 7, 8]] = 45  # The largest id is not the end.
  outputs = theirs(torch.tensor(tokens), output_hidden_states=True)
  penultimate, pooled = outputs.hidden_states[-2], outputs.text_embeds
  ((penultimate**2).sum() + (pooled**2).sum()).backward()

  ours = ClipText(ClipTextConfig(**sizes), Compute(scan_layers=scan_layers))
  rows = text_encoder_tables.clip_text_rows()
  params = loaded(ours, tmp_path, rows, tokens)
  features, pullback = jax.vjp(jax.jit(lambda p: ours.apply(p, tokens)), params)
  assert distance(features.penultimate, penultimate.detach()) < TOLERANCE
  assert distance(features.pooled, pooled.detach()) < TOLERANCE
  doubled = jax.tree.map(lambda leaf: 2 * leaf, features)
  gradients = weight_table.to_hf(rows, pullback(doubled)[0])
  check_gradients(gradients, dict(theirs.named_parameters()))


def test_a_plain_text_model_has_no_prefix(tmp_path):
  config = transformers.CLIPTextConfig(
    **SIZES, vocab_size=50, max_position_embeddings=9
  )
  theirs = shaken(transformers.CLIPTextModel(config))
  theirs.save_pretrained(tmp_path)
  with tensor_files(tmp_path) as files:
    stored_names = set(files.shapes)
  rows = text_encoder_tables.clip_text_rows(prefix='')
  names = {row.theirs.format(layer=0, name='q_proj') for row in rows}
  assert 'encoder.layers.0.self_attn.q_proj.weight' in stored_names & names


@pytest.mark.parametrize('activation', ['quick_gelu', 'gelu'])
def test_clip_vision(activation, tmp_path):
  torch.manual_seed(0)
  sizes = SIZES | {'image_size': 12, 'patch_size': 4, 'hidden_act': activation}
  theirs = shaken(
    transformers.CLIPVisionModelWithProjection(
      transformers.CLIPVisionConfig(**sizes)
    )
  )
  theirs.save_pretrained(tmp_path)
  images = np.random.default_rng(0).normal(size=(2, 3, 12, 12))
  images = images.astype(np.float32)
  outputs = theirs(torch.tensor(images)).image_embeds
  (outputs**2).sum().backward()

  ours = ClipVision(ClipVisionConfig(**sizes))
  rows = text_encoder_tables.clip_vision_rows()
  channels_last = images.transpose(0, 2, 3, 1)
  params = loaded(ours, tmp_path, rows, channels_last)
  embeddings, pullback = jax.vjp(
    jax.jit(lambda p: ours.apply(p, channels_last)), params
  )
  assert distance(embeddings, outputs.detach()) < TOLERANCE
  gradients = weight_table.to_hf(rows, pullback(2 * embeddings)[0])
  check_gradients(gradients, dict(theirs.named_parameters()))


@pytest.mark.parametrize('scan_layers', [False, True])
def test_t5(scan_layers, tmp_path):
  torch.manual_seed(0)
  sizes = {
    'vocab_size': 40,
    'd_model': 16,
    'd_kv': 4,
    'd_ff': 24,
    'num_layers': 3,
    'num_heads': 2,
    'relative_attention_num_buckets': 16,
    'relative_attention_max_distance': 24,
  }
  theirs = shaken(
    transformers.T5EncoderModel(
      transformers.T5Config(**sizes, feed_forward_proj='gated-gelu')
    )
  )
  theirs.save_pretrained(tmp_path)
  tokens = np.random.default_rng(0).integers(0, 40, (2, 45))
  outputs = theirs(torch.tensor(tokens)).last_hidden_state
  (outputs**2).sum().backward()

  ours = T5Encoder(T5Config(**sizes), Compute(scan_layers=scan_layers))
  rows = text_encoder_tables.t5_rows()
  params = loaded(ours, tmp_path, rows, tokens)
  states, pullback = jax.vjp(jax.jit(lambda p: ours.apply(p, tokens)), params)
  assert distance(states, outputs.detach()) < TOLERANCE
  gradients = weight_table.to_hf(rows, pullback(2 * states)[0])
  check_gradients(gradients, dict(theirs.named_parameters()))


def test_bfloat16_errs_no_more_than_theirs(tmp_path):
  """Root mean square of the pooled vector against float32, over three models.

  Rounding is random: 5 % more would pass.
  """
  sizes = SIZES | {
    'vocab_size': 50,
    'max_position_embeddings': 9,
    'eos_token_id': 2,
  }
  tokens = np.random.default_rng(0).integers(3, 49, (512, 9))
  plain = ClipText(ClipTextConfig(**sizes))
  half = ClipText(ClipTextConfig(**sizes), Compute(dtype=jnp.bfloat16))
  errors = {'ours': [], 'theirs': []}
  for seed in range(3):
    torch.manual_seed(seed)
    theirs = shaken(
      transformers.CLIPTextModelWithProjection(
        transformers.CLIPTextConfig(**sizes, bos_token_id=0, pad_token_id=1)
      )
    )
    theirs.save_pretrained(tmp_path / str(seed))
    rows = text_encoder_tables.clip_text_rows()
    params = loaded(plain, tmp_path / str(seed), rows, tokens)
    exact = theirs(torch.tensor(tokens)).text_embeds.detach().numpy()
    outputs = theirs.to(torch.bfloat16)(torch.tensor(tokens)).text_embeds
    outputs = outputs.detach().float().numpy()
    pooled = np.asarray(half.apply(params, tokens).pooled, np.float32)
    errors['theirs'].append(np.mean((outputs - exact) ** 2))
    errors['ours'].append(np.mean((pooled - exact) ** 2))
  ours, their_own = (np.sqrt(np.mean(e)) for e in errors.values())
  assert 0 < ours <= 1.05 * their_own
