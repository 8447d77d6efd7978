"""The audio tower of Qwen2.5-Omni: log-mel frames to features of tokens.

A clip is cut into chunks of 2n frames. Two convolutions halve a chunk to n
positions, transformer layers attend within it, neighbors are averaged and
projected: a full chunk gives n/2 tokens. Chunks never see each other. Xu et
al., `Qwen2.5-Omni Technical Report <https://arxiv.org/abs/2503.20215>`_, 2025.

Shapes are static. As n is even, a pair of neighbors never lies in two chunks:
the tokens of a clip are the first rows of its chunks, laid end to end.
"""

import dataclasses
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adrpo_jax.models import products
from adrpo_jax.models.compute import Compute, stack
from adrpo_jax.models.config_types import (
  Between,
  Layers,
  Size,
  check_multiple,
)
from adrpo_jax.models.layers import Linear
from adrpo_jax.types import Array, PyTree

EPSILON = 1e-5  # of the norms, in every release
LONGEST_WAVE = 10_000.0  # of the sinusoids, over 2π


@dataclasses.dataclass(frozen=True)
class AudioTowerConfig:
  """Sizes under Hugging Face's names; the defaults are those of the 7B.

  n_window: n, half the frames of a chunk.
  output_dim: the width of the decoder that takes the features.
  """

  num_mel_bins: Size = 128
  d_model: Annotated[int, Between(4, 2**24)] = 1280
  encoder_layers: Layers = 32
  encoder_attention_heads: Size = 20
  encoder_ffn_dim: Size = 5120
  n_window: Size = 100
  output_dim: Size = 3584

  def __post_init__(self):
    check_multiple(
      'd_model',
      self.d_model,
      'encoder_attention_heads',
      self.encoder_attention_heads,
    )
    check_multiple('d_model', self.d_model, 'sine and cosine', 2)
    check_multiple('n_window', self.n_window, 'the two of a pair', 2)


class AudioTower(nn.Module):
  """(mel [P, C, 2n, M], frames [P]) -> features [P, C·n/2, D].

  Frame t of a clip is at (t // 2n, t % 2n). The first `tokens_of(frames)` rows
  are the clip's; the others have no meaning.
  """

  config: AudioTowerConfig
  compute: Compute = Compute()

  @nn.compact
  def __call__(self, mel: Array, frames: Array) -> Array:
    """Computes the features.

    Args:
      mel: [P, C, 2n, M] log-mel; what lies beyond a clip is not read.
      frames: [P] integer, the frames of each clip.
    """
    c, dtype = self.config, self.compute.dtype
    clips, chunks, window, bins = mel.shape
    if (window, bins) != (2 * c.n_window, c.num_mel_bins):
      raise ValueError(
        f'Expected mel [P, C, {2 * c.n_window}, {c.num_mel_bins}], got '
        f'{mel.shape}.'
      )
    real = jnp.arange(chunks * window)[None] < frames[:, None]
    real = real.reshape(clips * chunks, window)
    # Frames beyond the clip are zero before either convolution.
    x = mel.reshape(clips * chunks, window, bins).astype(dtype)
    x = jnp.where(real[..., None], x, 0)
    x = _gelu(_convolution(c.d_model, 1, dtype, 'conv1')(x))
    x = jnp.where(real[..., None], x, 0)
    x = _gelu(_convolution(c.d_model, 2, dtype, 'conv2')(x))
    positions = sinusoids(c.n_window, c.d_model)
    x = self.compute.constrain(x + jnp.asarray(positions, dtype)[None])
    # A position is real if the first of its two frames is.
    keys = real[:, None, None, ::2]
    layers = stack(AudioLayer, c.encoder_layers, self.compute)
    x = layers(c, self.compute, name='layers_0')(x, keys)[0]
    x = x.reshape(clips, -1, 2, c.d_model).mean(2)
    return Linear(c.output_dim, name='proj')(_norm(dtype, 'ln_post')(x))


class AudioLayer(nn.Module):
  """Attention within a chunk and an MLP, each after a norm, with a residual."""

  config: AudioTowerConfig
  compute: Compute

  @nn.compact
  def __call__(self, x: Array, keys: Array) -> tuple[Array, None]:
    c = self.config
    heads = *x.shape[:2], c.encoder_attention_heads, -1
    y = _norm(x.dtype, 'self_attn_layer_norm')(x)
    q, k, v = (
      Linear(c.d_model, name != 'k', name=f'{name}_proj')(y).reshape(heads)
      for name in 'qkv'
    )
    mixed = self.compute.attention(q, k, v, keys)
    x = x + Linear(c.d_model, name='out_proj')(mixed)
    y = _norm(x.dtype, 'final_layer_norm')(x)
    y = _gelu(Linear(c.encoder_ffn_dim, name='fc1')(y))
    x = x + Linear(c.d_model, name='fc2')(y)
    return self.compute.constrain(x), None


def tokens_of(frames: Any) -> Any:
  """Audio tokens of clips of f frames: ⌊⌈f/2⌉/2⌋, integers or arrays of them.

  >>> [tokens_of(f) for f in (2, 3, 200, 201, 203, 3000)]
  [0, 1, 50, 50, 51, 750]
  """
  return (frames + 1) // 2 // 2


def sinusoids(length: int, width: int) -> np.ndarray:
  """[length, width]: [sin | cos] of position·10⁴^(−k/(width/2 − 1)), float32.

  They restart at 0 in every chunk.
  """
  steps = np.arange(width // 2) / (width // 2 - 1)
  angles = np.arange(length)[:, None] * LONGEST_WAVE**-steps
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


def param_shapes(config: AudioTowerConfig) -> PyTree:
  """The shapes of {'params'} of an `AudioTower`, float32."""
  return jax.eval_shape(lambda: init_params(config, jax.random.key(0)))


def init_params(config: AudioTowerConfig, key: Array) -> PyTree:
  """Random parameters {'params': ...} of an `AudioTower`."""
  mel = jnp.zeros((1, 1, 2 * config.n_window, config.num_mel_bins))
  return AudioTower(config).init(key, mel, jnp.ones(1, jnp.int32))


def _convolution(features: int, stride: int, dtype: Any, name: str) -> nn.Conv:
  """Kernel 3 with one zero on either side; `SAME` differs at stride 2."""
  return nn.Conv(
    features,
    (3,),
    strides=stride,
    padding=((1, 1),),
    dtype=dtype,
    conv_general_dilated=products.convolution,
    name=name,
  )


def _norm(dtype: Any, name: str) -> nn.LayerNorm:
  return nn.LayerNorm(EPSILON, dtype=dtype, use_fast_variance=False, name=name)


def _gelu(x: Array) -> Array:
  return jax.nn.gelu(x, approximate=False)
