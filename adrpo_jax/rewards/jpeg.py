"""JPEG compressibility: the reward that needs no model, only Pillow."""

from collections.abc import Callable, Sequence
import io

import numpy as np
from PIL import Image

from adrpo_jax.errors import InputError


def compressibility(
  quality: int = 95,
) -> Callable[[Sequence[str], np.ndarray], np.ndarray]:
  """r = −size of the image as a JPEG, in kB (1000 bytes).

  Smooth images are small, so this reward removes detail; its negative adds
  detail. The text is not used. Black et al., `Training Diffusion Models with
  Reinforcement Learning <https://arxiv.org/abs/2305.13301>`_, 2023, §5.1.

  Args:
    quality: of the encoder, 1 to 95; the paper's code uses 95.

  Returns:
    (texts, images [B, H, W, 3] uint8) -> [B] float32, in kB, all negative.
  """
  if not 1 <= quality <= 95:
    raise InputError(f'Expected a JPEG quality from 1 to 95, got {quality}.')

  def reward(texts: Sequence[str], images: np.ndarray) -> np.ndarray:
    del texts
    return np.array([-_bytes(i, quality) / 1000 for i in images], np.float32)

  return reward


def incompressibility(
  quality: int = 95,
) -> Callable[[Sequence[str], np.ndarray], np.ndarray]:
  """r = +size of the image as a JPEG, in kB: the negative of compressibility.

  It adds detail. Arguments and source are those of `compressibility`.
  """
  negative = compressibility(quality)
  return lambda texts, images: -negative(texts, images)


def _bytes(image: np.ndarray, quality: int) -> int:
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=quality)
  return file.tell()
