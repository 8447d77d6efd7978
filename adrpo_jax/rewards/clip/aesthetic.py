"""LAION's aesthetic predictor: one affine map of a CLIP image embedding.

  r = w · e/‖e‖ + b

The published model has five linear layers 768 → 1024 → 128 → 64 → 16 → 1
without an activation between them, so at inference their product is equal.
"""

from collections.abc import Sequence
import pathlib
import re
from typing import NamedTuple

import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.files import opened_files
from adrpo_jax.models.files.hub import local_folder
from adrpo_jax.models.files.tensor_files import TensorFiles, tensor_files
from adrpo_jax.rewards.clip.diversity import unit
from adrpo_jax.rewards.clip.folder import read_clip
from adrpo_jax.rewards.clip.preprocess import clip_pixels
from adrpo_jax.rewards.clip.scores import OPENAI_L14, embedding_reward
from adrpo_jax.rewards.clip.towers import vision_tower
from adrpo_jax.rewards.protocol import Reward

_LAYER = re.compile(r'layers\.(\d+)\.weight')


class Affine(NamedTuple):
  """x [*, D] -> x · weight + bias, [*]."""

  weight: np.ndarray  # [D]
  bias: np.ndarray  # []


def aesthetic(
  texts: Sequence[str],
  invalid_limit: float,
  *,
  head: str,
  path: str = OPENAI_L14,
) -> Reward:
  """LAION's aesthetic score v2 of an image, whatever its prompt: 4 to 7.

  https://github.com/christophschuhmann/improved-aesthetic-predictor, with the
  weights sac+logos+ava1-l14-linearMSE: `head` is their folder or file as
  safetensors, with layers.0.weight and so on; `path` is CLIP ViT-L/14.
  """
  del invalid_limit  # Only images that are not finite are invalid.
  clip = read_clip(path)
  affine = read_head(head, clip.vision.projection_dim)
  return embedding_reward(
    vision_tower(clip),
    clip_pixels,
    np.zeros((len(texts), 0), np.float32),  # The prompt is not used.
    lambda images, _: unit(images) @ affine.weight + affine.bias,
  )


def read_head(path: str, width: int) -> Affine:
  """Reads the layers of a head and multiplies them into one, in float64.

  Args:
    path: a folder, gs://..., an id on the Hub, or a .safetensors file.
    width: D, the size of the embeddings.

  Raises:
    InputError: no such layers there, layers whose sizes do not match, or a
      head for embeddings of another size.
  """
  if not path:
    raise InputError(
      'Expected the path of the head of the aesthetic predictor, got none. '
      'Give the folder, the id on the Hub, or the .safetensors file of '
      'sac+logos+ava1-l14-linearMSE.'
    )
  file = pathlib.Path(path).expanduser()
  where = file if file.suffix else local_folder(path, opened_files.WEIGHTS)
  with tensor_files(where) as files:
    layers = _layers(files)
  inputs = layers[0][0].shape[1]
  weight, bias = np.eye(inputs), np.zeros(inputs)
  for kernel, offset in layers:
    if kernel.shape[1] != weight.shape[0] or offset.shape != kernel.shape[:1]:
      raise InputError(
        f'Expected linear layers whose sizes match in {where}, got one of '
        f'{list(kernel.shape)} after {weight.shape[0]} features.'
      )
    weight, bias = kernel @ weight, kernel @ bias + offset
  if weight.shape != (1, width):
    raise InputError(
      f'Expected a head from embeddings of {width} to one number in {where}, '
      f'got {weight.shape[1]} to {weight.shape[0]}. Use the CLIP tower that '
      'the head was trained on, ViT-L/14 for sac+logos+ava1-l14-linearMSE.'
    )
  return Affine(weight[0].astype(np.float32), bias[0].astype(np.float32))


def _layers(files: TensorFiles) -> list[tuple[np.ndarray, np.ndarray]]:
  """(weight [out, in], bias [out]) of layers.0, layers.2 and so on."""
  numbers = sorted(
    int(match[1]) for match in map(_LAYER.fullmatch, files.shapes) if match
  )
  names = [
    [f'layers.{i}.{kind}' for kind in ('weight', 'bias')] for i in numbers
  ]
  missing = [name for _, name in names if name not in files.shapes]
  if not numbers or missing:
    raise InputError(
      f'Expected {missing or ["layers.0.weight", "layers.0.bias"]} in '
      f'{files.where}, which has {sorted(files.shapes)[:4]} and more.'
    )
  flat = [weight for weight, _ in names if len(files.shapes[weight]) != 2]
  if flat:
    raise InputError(
      f'Expected a matrix as {flat[0]} in {files.where}, got the shape '
      f'{list(files.shapes[flat[0]])}.'
    )
  return [
    (
      files.read(weight).astype(np.float64),
      files.read(bias).astype(np.float64),
    )
    for weight, bias in names
  ]
