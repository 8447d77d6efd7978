"""A tiny SD3 transformer of diffusers, and ours with its weights."""

import dataclasses

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import torch

from adrpo_jax.models.condition import Condition
from adrpo_jax.models.files import weight_table
from adrpo_jax.models.files.tensor_files import tensor_files
from adrpo_jax.models.sd3 import weight_tables as sd3_tables
from adrpo_jax.models.sd3.autoencoder import Autoencoder, AutoencoderConfig
from adrpo_jax.models.sd3.mmdit import MMDiT, MMDiTConfig

VARIANTS = {
  'sd3': MMDiTConfig(
    sample_size=8,
    in_channels=4,
    num_layers=3,
    num_attention_heads=2,
    attention_head_dim=16,
    joint_attention_dim=24,
    pooled_projection_dim=20,
    pos_embed_max_size=12,
  ),
}
VARIANTS['sd35'] = dataclasses.replace(
  VARIANTS['sd3'], qk_norm=True, dual_attention_layers=(0,), num_layers=4
)
ROWS = sd3_tables.transformer_rows(2)


def theirs(config: MMDiTConfig):
  torch.manual_seed(0)
  fields = dataclasses.asdict(config)
  fields['qk_norm'] = 'rms_norm' if config.qk_norm else None
  model = diffusers.SD3Transformer2DModel(
    **fields,
    out_channels=config.in_channels,
    caption_projection_dim=config.width,
  )
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if parameter.ndim == 1 and 'norm_' in name:  # Ones would hide a mix-up.
        parameter.add_(0.3 * torch.randn_like(parameter))
  return model.eval()


def inputs(config: MMDiTConfig, rows: int, columns: int):
  """Latents [2, C, h, w], text states, pooled text, σ."""
  rng = np.random.default_rng(1)
  shapes = (
    (2, config.in_channels, rows, columns),
    (2, 7, config.joint_attention_dim),
    (2, config.pooled_projection_dim),
  )
  arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
  return *arrays, np.array([0.3, 0.95], np.float32)


def their_velocity(model, latents, states, pooled, sigma):
  tensors = [torch.tensor(a) for a in (latents, states, pooled)]
  return model(*tensors, 1000 * torch.tensor(sigma))[0]


def our_velocity(model, params, latents, states, pooled, sigma):
  """Our velocity, with the axes of theirs."""
  x = latents.transpose(0, 2, 3, 1)
  v = model.apply(params, x, sigma, Condition(states, pooled))
  return v.transpose(0, 3, 1, 2)


def shapes(config: MMDiTConfig, rows: int, columns: int):
  x = jnp.zeros((1, rows, columns, config.in_channels))
  text = Condition(
    jnp.zeros((1, 7, config.joint_attention_dim)),
    jnp.zeros((1, config.pooled_projection_dim)),
  )
  return jax.eval_shape(
    MMDiT(config).init, jax.random.key(0), x, jnp.zeros(1), text
  )


def load(folder, config: MMDiTConfig, rows: int = 8, columns: int = 6):
  with tensor_files(folder) as files:
    return weight_table.load(
      files, ROWS, shapes(config, rows, columns), r'^pos_embed\.pos_embed$'
    )


AUTOENCODER = AutoencoderConfig(
  block_out_channels=(8, 8, 16, 16), norm_num_groups=4, latent_channels=4
)


def their_autoencoder():
  torch.manual_seed(0)
  return diffusers.AutoencoderKL(
    block_out_channels=AUTOENCODER.block_out_channels,
    norm_num_groups=4,
    latent_channels=4,
    layers_per_block=2,
    down_block_types=['DownEncoderBlock2D'] * 4,
    up_block_types=['UpDecoderBlock2D'] * 4,
    use_quant_conv=False,
    use_post_quant_conv=False,
    scaling_factor=AUTOENCODER.scaling_factor,
    shift_factor=AUTOENCODER.shift_factor,
  )


def load_autoencoder(folder):
  ours = Autoencoder(AUTOENCODER)
  shapes = jax.eval_shape(
    ours.init, jax.random.key(0), jnp.zeros((1, 32, 16, 3)), jax.random.key(0)
  )
  with tensor_files(folder) as files:
    return weight_table.load(files, sd3_tables.autoencoder_rows(), shapes)
