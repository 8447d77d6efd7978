"""Reads image files of any origin as an eye sees them.

Pixels are turned as EXIF says. Of 16 bits a level the upper 8 are taken, from
gray as Pillow takes them from color. Transparency is dropped.
"""

from collections.abc import Iterator
import contextlib
import warnings

from etils import epath
import numpy as np
from PIL import ExifTags, Image, ImageOps

from adrpo_jax.errors import InputError

FORMATS = ('PNG', 'JPEG', 'WEBP')
_SIDEWAYS = range(5, 9)  # orientations that exchange width and height


def read_size(file: epath.Path) -> tuple[int, int]:
  """Returns (width, height) as seen, from the head of a file.

  Raises:
    InputError: the file is no image, is damaged, or has too many pixels.
  """
  with _opened(file) as image:
    # The method of the base class: that of PNG files decodes all pixels.
    turn = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    width, height = image.size
    return (height, width) if turn in _SIDEWAYS else (width, height)


def read_pixels(file: epath.Path) -> np.ndarray:
  """Reads an image as [H, W, 3] uint8.

  Raises:
    InputError: see `read_size`; also for a file that is cut short.
  """
  with _opened(file) as image:
    seen = ImageOps.exif_transpose(image)
    if seen.mode.startswith('I'):  # Gray of 16 bits, which `convert` clips.
      seen = Image.fromarray((np.asarray(seen) >> 8).astype(np.uint8))
    return np.asarray(seen.convert('RGB'))


@contextlib.contextmanager
def _opened(file: epath.Path) -> Iterator[Image.Image]:
  """Yields the image in a file; an error inside names the file."""
  try:
    with warnings.catch_warnings(), file.open('rb') as stream:
      # Pillow warns from one limit of pixels on, and refuses twice of that.
      warnings.simplefilter('error', Image.DecompressionBombWarning)
      with Image.open(stream, formats=FORMATS) as image:
        yield image
  except Exception as error:  # Each decoder raises kinds of its own.
    raise InputError(
      f'Expected a complete image in {file}, as {", ".join(FORMATS)}, of at '
      f'most {Image.MAX_IMAGE_PIXELS} pixels, which cannot be read '
      f'({error}). Make it again.'
    ) from error
