"""A folder of pictures that anyone has made, and the prompts they were made of.

00012_03.png           of prompt 12, the fourth; what follows the number is free
00012/03.png           the same, in a folder for each prompt
00012/samples/03.png   the same, as GenEval's scripts write it

Prompts are counted from 0, as they stand in their file. All have the same
number of pictures, and all pictures one size.
"""

from collections.abc import Iterator, Sequence
import re
from typing import NamedTuple

from etils import epath
import numpy as np
from PIL import Image

from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.errors import InputError

SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp')
RULE = (
  'Pictures are named 00012_03.png, or lie in folders 00012 or 00012/samples, '
  'with the number of the prompt, counted from 0, in front.'
)

_NAME = re.compile(r'(\d+)(?:[-_.].*)?')
_SHOWN = 6  # prompts that an error lists


class ImageFolder(NamedTuple):
  """prompts: P of them; files: [P][G], in the order of their names."""

  prompts: PromptSet
  files: tuple[tuple[epath.Path, ...], ...]


def find(folder: str, prompts: PromptSet) -> ImageFolder:
  """The pictures in a folder, on a disk or in a bucket, by their prompts.

  Raises:
    InputError: no such folder, no pictures, a name that is not of the rule, a
      prompt without pictures or with more than another has, pictures of
      several sizes or that cannot be read.
  """
  root = epath.Path(folder).expanduser()
  if not root.is_dir():
    raise InputError(f'Expected a folder of pictures at {root}, found none.')
  groups: dict[int, list[epath.Path]] = {}
  for number, file in _numbered(root):
    groups.setdefault(number, []).append(file)
  if not groups:
    raise InputError(f'Expected pictures in {root}, found none. {RULE}')
  _check_numbers(root, groups, len(prompts))
  files = tuple(tuple(groups[i]) for i in range(len(prompts)))
  _check_counts(root, files)
  _check_sizes(file for group in files for file in group)
  return ImageFolder(prompts, files)


def read(files: Sequence[Sequence[epath.Path]]) -> np.ndarray:
  """Pictures [P][G] -> [P, G, H, W, 3] uint8; transparency is left out."""
  return np.stack([np.stack([_pixels(file) for file in row]) for row in files])


def _numbered(root: epath.Path) -> Iterator[tuple[int, epath.Path]]:
  """(number of the prompt, picture), in the order of names."""
  for entry in sorted(root.iterdir()):
    match = _NAME.fullmatch(entry.stem)
    if entry.is_dir():
      if match:
        inner = entry / 'samples'
        found = sorted((inner if inner.is_dir() else entry).iterdir())
        yield from ((int(match[1]), f) for f in found if _is_picture(f))
    elif _is_picture(entry):
      if match is None:
        raise InputError(
          f'Expected the number of a prompt in the name of {entry}. {RULE}'
        )
      yield int(match[1]), entry


def _is_picture(file: epath.Path) -> bool:
  return file.suffix.lower() in SUFFIXES


def _check_numbers(
  root: epath.Path, groups: dict[int, list[epath.Path]], count: int
) -> None:
  beyond = sorted(n for n in groups if n >= count)
  missing = [n for n in range(count) if n not in groups]
  for wrong, said in (
    (beyond, 'pictures of prompts that there are not'),
    (missing, 'no pictures of prompts'),
  ):
    if wrong:
      more = f' and {len(wrong) - _SHOWN} more' if len(wrong) > _SHOWN else ''
      raise InputError(
        f'Expected pictures of the prompts 0 to {count - 1} in {root}, got '
        f'{said}: {wrong[:_SHOWN]}{more}. Give the file of prompts that they '
        f'were made of. {RULE}'
      )


def _check_counts(
  root: epath.Path, files: Sequence[Sequence[epath.Path]]
) -> None:
  wanted = len(files[0])
  for number, group in enumerate(files):
    if len(group) != wanted:
      raise InputError(
        f'Expected as many pictures of each prompt in {root}, got {wanted} of '
        f'prompt 0 and {len(group)} of prompt {number}. Add or remove some.'
      )


def _check_sizes(files: Iterator[epath.Path]) -> None:
  """Looks at the heads of all files, so that none fails halfway."""
  first = None
  for file in files:
    with _opened(file) as image:
      size = image.size
    first = first or (file, size)
    if size != first[1]:
      raise InputError(
        f'Expected pictures of one size, got {first[1][0]} × {first[1][1]} in '
        f'{first[0]} and {size[0]} × {size[1]} in {file}.'
      )


def _pixels(file: epath.Path) -> np.ndarray:
  with _opened(file) as image:
    try:
      return np.asarray(image.convert('RGB'))
    except (OSError, ValueError) as error:
      raise _unreadable(file, error) from error


def _opened(file: epath.Path) -> Image.Image:
  try:
    return Image.open(file.open('rb'))
  except (OSError, ValueError) as error:
    raise _unreadable(file, error) from error


def _unreadable(file: epath.Path, error: Exception) -> InputError:
  return InputError(
    f'Expected a whole picture in {file}, got something else ({error}). Make '
    'it again.'
  )
