"""Tiny decoders of transformers, one of a kind, and ours with their weights."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

from adrpo_jax.models.decoder import folder as decoder_folder
from adrpo_jax.models.decoder.decoder import output_embedding, position_ids
from adrpo_jax.models.decoder.log_probs import logits

SIZES = {
  'vocab_size': 50,
  'hidden_size': 32,
  'intermediate_size': 48,
  'num_hidden_layers': 3,
  'num_attention_heads': 4,
  'num_key_value_heads': 2,
  'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e4},
  'attn_implementation': 'eager',
}
# Wave lengths of 8 features at θ = 1e4 are 6, 63, 628 and 6283 positions.
LLAMA3 = {
  'rope_type': 'llama3',
  'rope_theta': 1e4,
  'factor': 8.0,
  'low_freq_factor': 1.0,
  'high_freq_factor': 4.0,
  'original_max_position_embeddings': 100,
}
KINDS = {
  'Llama': {'rope_parameters': LLAMA3},
  'Qwen2': {},
  'Qwen3': {'head_dim': 12},
}
# Real tokens are 1 … 49: 0 is padding for transformers' score heads.
TOKENS = np.random.default_rng(0).integers(1, 50, (3, 9))
MASK = np.ones((3, 9), bool)
MASK[1, :3] = MASK[2, :5] = False  # padded on the left


def theirs(kind, task='CausalLM', tied=False, **changes):
  """A model whose norms are not ones and whose biases are not zeros."""
  torch.manual_seed(0)
  config = getattr(transformers, f'{kind}Config')(
    **SIZES | KINDS[kind], tie_word_embeddings=tied, **changes
  )
  model = getattr(transformers, f'{kind}For{task}')(config)
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(0.1 * torch.randn_like(parameter))
  return model.eval()


def their_logits(model, tokens=TOKENS, mask=MASK):
  mask = torch.tensor(mask)
  return model(
    torch.tensor(np.where(mask, tokens, 0)),
    attention_mask=mask.long(),
    position_ids=torch.clamp(mask.long().cumsum(-1) - 1, min=0),
  ).logits


def load(folder):
  return decoder_folder.load(
    decoder_folder.read(folder), jnp.float32, lambda shapes: shapes
  )


def our_logits(module, params, tokens=TOKENS, mask=MASK):
  mask = jnp.asarray(mask)
  hidden = module.apply(params, tokens, position_ids(mask), mask)
  return logits(hidden, output_embedding(params))


def compiled(module, params, **inputs):
  return np.asarray(
    jax.jit(lambda params: our_logits(module, params, **inputs))(params)
  )
