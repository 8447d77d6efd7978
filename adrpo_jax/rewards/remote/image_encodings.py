"""Encodings of images as bytes for a reward server, and their decoders.

Both encodings are lossless, and neither can contain a program.
"""

from collections.abc import Callable
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from adrpo_jax.errors import unknown_name


class Encoding(NamedTuple):
  """Two functions between an image [H, W, 3] uint8 and bytes.

  `unpack` takes the bytes and the largest size of the image in bytes; it checks
  the stated size before it allocates memory.
  """

  pack: Callable[[np.ndarray], bytes]
  unpack: Callable[[bytes, int], np.ndarray]


def named_encoding(name: str) -> Encoding:
  """The row of ENCODINGS. Raises InputError, with the nearest name."""
  if name not in ENCODINGS:
    raise unknown_name(name, ENCODINGS, 'encoding of samples')
  return ENCODINGS[name]


def _to_png(image: np.ndarray) -> bytes:
  file = io.BytesIO()
  # The fastest level: the time of the encoder outweighs that of the transfer.
  Image.fromarray(image).save(file, 'PNG', compress_level=1)
  return file.getvalue()


def _from_png(content: bytes, room: int) -> np.ndarray:
  with Image.open(io.BytesIO(content), formats=['PNG']) as image:
    if image.mode != 'RGB':
      raise ValueError(f'expected an RGB image, got {image.mode}')
    _check_room(3 * image.width * image.height, room)
    return np.asarray(image)


def _to_npy(image: np.ndarray) -> bytes:
  file = io.BytesIO()
  np.save(file, image, allow_pickle=False)
  return file.getvalue()


def _from_npy(content: bytes, room: int) -> np.ndarray:
  file = io.BytesIO(content)
  if np.lib.format.read_magic(file) != (1, 0):
    raise ValueError('expected version 1.0 of npy')
  shape, _, dtype = np.lib.format.read_array_header_1_0(file)
  if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
    raise ValueError(f'expected [H, W, 3] uint8, got {list(shape)} {dtype}')
  _check_room(math.prod(shape), min(room, len(content)))
  file.seek(0)
  return np.lib.format.read_array(file, allow_pickle=False)


def _check_room(size: int, room: int) -> None:
  if not 0 < size <= room:
    raise ValueError(
      f'an image of {size} bytes, where at most {room} are allowed'
    )


ENCODINGS = {
  'png': Encoding(_to_png, _from_png),
  'npy': Encoding(_to_npy, _from_npy),
}
