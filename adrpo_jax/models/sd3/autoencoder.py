"""The SD3 autoencoder (`AutoencoderKL` of diffusers), sized by its config.

Images are [B, H, W, 3] in [−1, 1]. The flow model works on latents [B, h, w,
C]: z = (mean − shift_factor)·scaling_factor. GroupNorm and attention have a
two-pass form that is safe in float32. Parameters have the names of the Hugging
Face file.
"""

import dataclasses
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from adrpo_jax.models import attention, products
from adrpo_jax.models.config_types import (
  Between,
  Items,
  Layers,
  Size,
  check_multiple,
)
from adrpo_jax.models.layers import GroupNorm, Linear
from adrpo_jax.types import Array

Channels = Annotated[tuple[Size, ...], Items(1, 8)]


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
  """Sizes of the autoencoder; the defaults are those of Stable Diffusion 3."""

  in_channels: Size = 3
  latent_channels: Size = 16
  block_out_channels: Channels = (128, 256, 512, 512)
  layers_per_block: Layers = 2
  norm_num_groups: Size = 32
  scaling_factor: Annotated[float, Between(1e-6, 1e6)] = 1.5305
  shift_factor: Annotated[float, Between(-1e6, 1e6)] = 0.0609

  def __post_init__(self):
    for channels in self.block_out_channels:
      check_multiple(
        'block_out_channels',
        channels,
        'norm_num_groups',
        self.norm_num_groups,
      )

  @property
  def downsampling(self) -> int:
    """The width of a latent in pixels."""
    return 2 ** (len(self.block_out_channels) - 1)


class Autoencoder(nn.Module):
  """An encoder and a decoder of ResNet blocks and one attention layer each."""

  config: AutoencoderConfig

  def setup(self):
    self.encoder = Encoder(self.config)
    self.decoder = Decoder(self.config)

  def __call__(self, images: Array, key: Array) -> tuple[Array, Array, Array]:
    """For training: reconstruction, mean and log-variance of the latents."""
    mean, logvar = self.moments(images)
    noise = jax.random.normal(key, mean.shape)
    return self.decoder(mean + jnp.exp(logvar / 2) * noise), mean, logvar

  def moments(self, images: Array) -> tuple[Array, Array]:
    """Unscaled mean and log-variance of q(z | image), [B, h, w, C] each."""
    mean, logvar = jnp.split(self.encoder(images), 2, -1)
    return mean, jnp.clip(logvar, -30.0, 20.0)

  def encode(self, images: Array) -> Array:
    """[B, H, W, 3] in [−1, 1] -> scaled latent means [B, h, w, C]."""
    mean, _ = self.moments(images)
    return (mean - self.config.shift_factor) * self.config.scaling_factor

  def decode(self, latents: Array) -> Array:
    """Scaled latents [B, h, w, C] -> images [B, H, W, 3], about [−1, 1]."""
    return self.decoder(
      latents / self.config.scaling_factor + self.config.shift_factor
    )


class Encoder(nn.Module):
  """Maps images to (mean | log-variance)."""

  config: AutoencoderConfig

  @nn.compact
  def __call__(self, x: Array) -> Array:
    c = self.config
    x = _conv(c.block_out_channels[0], 'conv_in')(x)
    last = len(c.block_out_channels) - 1
    for level, width in enumerate(c.block_out_channels):
      for layer in range(c.layers_per_block):
        x = ResNet(width, c.norm_num_groups, name=f'down_{level}_{layer}')(x)
      if level < last:
        # The padding is one row at the bottom and one column at the right.
        x = _conv(width, f'downsample_{level}', 2, ((0, 1), (0, 1)))(x)
    x = Middle(c.norm_num_groups, name='mid')(x)
    x = nn.silu(GroupNorm(c.norm_num_groups, name='conv_norm_out')(x))
    return _conv(2 * c.latent_channels, 'conv_out')(x)


class Decoder(nn.Module):
  """Maps unscaled latents to images."""

  config: AutoencoderConfig

  @nn.compact
  def __call__(self, x: Array) -> Array:
    c = self.config
    x = _conv(c.block_out_channels[-1], 'conv_in')(x)
    x = Middle(c.norm_num_groups, name='mid')(x)
    last = len(c.block_out_channels) - 1
    for level, width in enumerate(reversed(c.block_out_channels)):
      for layer in range(c.layers_per_block + 1):
        x = ResNet(width, c.norm_num_groups, name=f'up_{level}_{layer}')(x)
      if level < last:
        x = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
        x = _conv(width, f'upsample_{level}')(x)
    x = nn.silu(GroupNorm(c.norm_num_groups, name='conv_norm_out')(x))
    return _conv(c.in_channels, 'conv_out')(x)


class ResNet(nn.Module):
  """GN–SiLU–conv twice plus the input, through a 1×1 if the widths differ."""

  width: int
  groups: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    y = _conv(self.width, 'conv1')(
      nn.silu(GroupNorm(self.groups, name='norm1')(x))
    )
    y = _conv(self.width, 'conv2')(
      nn.silu(GroupNorm(self.groups, name='norm2')(y))
    )
    if x.shape[-1] != self.width:
      x = Linear(self.width, name='conv_shortcut')(x)
    return x + y


class Middle(nn.Module):
  """A ResNet block, one-head attention over all positions, a ResNet block."""

  groups: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    width = x.shape[-1]
    x = ResNet(width, self.groups, name='resnets_0')(x)
    flat = GroupNorm(self.groups, name='group_norm')(x).reshape(
      x.shape[0], -1, width
    )
    q, k, v = (Linear(width, name=f'to_{n}')(flat)[:, :, None] for n in 'qkv')
    mixed = attention.xla(q, k, v)
    x = x + Linear(width, name='to_out')(mixed).reshape(x.shape)
    return ResNet(width, self.groups, name='resnets_1')(x)


def _conv(width: int, name: str, strides: int = 1, padding=1) -> nn.Conv:
  return nn.Conv(
    width,
    (3, 3),
    strides=strides,
    padding=padding,
    conv_general_dilated=products.convolution,
    name=name,
  )
