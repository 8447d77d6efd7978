"""A folder of images of any origin, and the prompts of the images.

00012_03.png           of prompt 12, the fourth; what follows the number is free
00012/03.png           the same sample, with a folder for each prompt
00012/samples/03.png   the same sample, as GenEval's scripts write it

Prompts are counted from 0, in the order of their file. All prompts have the
same number of images, and all images have one size. Hidden files and folders
are left aside.
"""

from collections.abc import Iterator, Sequence
import re
from typing import NamedTuple

from etils import epath
import numpy as np

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError
from adrpo_jax.scoring import image_files
from adrpo_jax.system import manifest
from adrpo_jax.system.output_folder import check_own

SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp')
RULE = (
  'Images are named 00012_03.png, or are in folders 00012 or 00012/samples. '
  'Names begin with the number of the prompt, counted from 0.'
)

_NAME = re.compile(r'(\d+)(?:[-_.].*)?')
_SHOWN = 6  # prompts that an error lists


class ImageFolder(NamedTuple):
  """prompts: P of them; files: [P][G], in the order of their names."""

  prompts: PromptSet
  files: tuple[tuple[epath.Path, ...], ...]


def find_images(folder: str, prompts: PromptSet) -> ImageFolder:
  """Finds the images of each prompt in a folder, on a disk or in a bucket.

  Raises:
    InputError: no such folder, no images, a name that breaks the rule, a prompt
      without images or with more than another, images of several sizes, or
      one that cannot be read.
  """
  root = epath.Path(folder).expanduser()
  if not root.is_dir():
    raise InputError(f'Expected a folder of images at {root}, found none.')
  _check_whole(root)
  groups: dict[int, list[epath.Path]] = {}
  for number, file in _numbered(root):
    groups.setdefault(number, []).append(file)
  if not groups:
    raise InputError(f'Expected images in {root}, found none. {RULE}')
  _check_numbers(root, groups, len(prompts))
  files = tuple(tuple(groups[i]) for i in range(len(prompts)))
  _check_counts(root, files)
  _check_sizes(file for group in files for file in group)
  return ImageFolder(prompts, files)


def _check_whole(root: epath.Path) -> None:
  """Checks that a folder of --mode=sample has the images of one draw alone."""
  if not (root / manifest.NAME).exists():
    return
  check_own(root)
  if (damage := manifest.damage(root)) is not None:
    raise InputError(
      f'Expected all images of one draw in {root}, but {damage}. Draw them '
      'again.'
    )


def read_images(files: Sequence[Sequence[epath.Path]]) -> np.ndarray:
  """Images [P][G] -> [P, G, H, W, 3] uint8, see `image_files.read_pixels`."""
  rows = [[image_files.read_pixels(file) for file in row] for row in files]
  try:
    return np.stack([np.stack(row) for row in rows])
  except ValueError as error:  # EXIF behind the pixels of a PNG file.
    raise InputError(
      f'Expected images of one size, got {files[0][0]} and others that are '
      'turned by EXIF. Turn their pixels instead.'
    ) from error


def _numbered(root: epath.Path) -> Iterator[tuple[int, epath.Path]]:
  """(number of the prompt, image) of each file, in the order of names."""
  for entry in _seen(root):
    match = _NAME.fullmatch(entry.stem)
    if entry.is_dir():
      if match:
        inner = entry / 'samples'
        files = _seen(inner if inner.is_dir() else entry)
        yield from ((int(match[1]), f) for f in files if _is_image(f))
    elif _is_image(entry):
      if match is None:
        raise InputError(
          f'Expected the number of a prompt in the name of {entry}. {RULE}'
        )
      yield int(match[1]), entry


def _seen(folder: epath.Path) -> list[epath.Path]:
  """The entries of a folder in order, without hidden ones.

  macOS writes a file ._0.png beside 0.png on disks of other systems, and into
  archives.
  """
  return sorted(e for e in folder.iterdir() if not e.name.startswith('.'))


def _is_image(file: epath.Path) -> bool:
  return file.suffix.lower() in SUFFIXES


def _check_numbers(
  root: epath.Path, groups: dict[int, list[epath.Path]], count: int
) -> None:
  beyond = sorted(n for n in groups if n >= count)
  missing = [n for n in range(count) if n not in groups]
  for wrong, fault in (
    (beyond, 'images of prompts that do not exist'),
    (missing, 'no images of prompts'),
  ):
    if wrong:
      more = f' and {len(wrong) - _SHOWN} more' if len(wrong) > _SHOWN else ''
      raise InputError(
        f'Expected images of the prompts 0 to {count - 1} in {root}, got '
        f'{fault}: {wrong[:_SHOWN]}{more}. Give the file of the prompts of '
        f'these images. {RULE}'
      )


def _check_counts(
  root: epath.Path, files: Sequence[Sequence[epath.Path]]
) -> None:
  wanted = len(files[0])
  for number, group in enumerate(files):
    if len(group) != wanted:
      raise InputError(
        f'Expected as many images of each prompt in {root}, got {wanted} of '
        f'prompt 0 and {len(group)} of prompt {number}. Add or remove some.'
      )


def _check_sizes(files: Iterator[epath.Path]) -> None:
  """Reads the heads of all files, so that no file fails halfway."""
  first = None
  for file in files:
    size = image_files.read_size(file)
    first = first or (file, size)
    if size != first[1]:
      raise InputError(
        f'Expected images of one size, got {first[1][0]} × {first[1][1]} in '
        f'{first[0]} and {size[0]} × {size[1]} in {file}.'
      )
