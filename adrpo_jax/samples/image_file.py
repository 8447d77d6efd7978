"""Judged images of an evaluation, and their .npz file.

  images [P, G, H, W, 3] uint8    if no side is above SMALL pixels
  streams [bytes] uint8           otherwise: WebP files, one behind the other,
  ends [P, G] int64               and the end of each sample's file in them
  prompts, categories [P]         text
  rewards, verdicts [P, G]
  success [P, G]                  only of a reward that measures it

Small images are stored exactly. Twelve prompts of four samples at 1024 by 1024
pixels would take 151 MB; as WebP they look the same.
"""

from collections.abc import Callable, Mapping
import concurrent.futures
import dataclasses
import io
import os
from typing import Any, TypeVar
import zipfile

from etils import epath
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import replacing

SMALL = 256  # pixels: longest side of an image that is stored exactly
QUALITY = 90  # of WebP: no difference is visible at full size


Arrays = Mapping[str, np.ndarray]
T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Samples:
  """Judged images of an evaluation: the same prompts and noise each time.

  images [P, G, H, W, 3] uint8; prompts, categories [P]; rewards, success and
  verdicts [P, G]. success is None for a reward that does not measure it.
  """

  images: np.ndarray
  prompts: np.ndarray
  categories: np.ndarray
  rewards: np.ndarray
  success: np.ndarray | None
  verdicts: np.ndarray


NAMES = tuple(field.name for field in dataclasses.fields(Samples))
REQUIRED = tuple(name for name in NAMES if name != 'success')


def succeeded(fields: Arrays) -> np.ndarray | None:
  """Returns which samples succeed, None for a reward that does not say so."""
  return fields['success'] > 0.5 if 'success' in fields else None


def write(path: epath.PathLike, samples: Samples) -> None:
  """Writes the file atomically."""
  arrays = {name: getattr(samples, name) for name in NAMES}
  if samples.success is None:
    del arrays['success']
  write_arrays(path, packed(arrays))


def read(path: epath.PathLike) -> Samples:
  """Reads the file.

  Raises:
    InputError: not a whole file of this form.
  """
  return read_as(path, of_arrays)


def of_arrays(arrays: Mapping[str, Any]) -> Samples:
  """Makes the samples that `write` took of the arrays of its file.

  Raises:
    LookupError, ValueError, OSError: arrays of another form.
  """
  arrays = unpacked(arrays)
  groups, success = arrays['rewards'].shape, arrays.get('success')
  expected = {
    'images': (*groups, *arrays['images'].shape[2:4], 3),
    'verdicts': groups,
    **dict.fromkeys(('prompts', 'categories'), groups[:1]),
    **({} if success is None else {'success': groups}),
  }
  for name, shape in expected.items():
    if arrays[name].shape != shape:
      raise ValueError(f'{name} has the shape {arrays[name].shape}')
  return Samples(**{n: arrays[n] for n in REQUIRED}, success=success)


def packed(arrays: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the arrays with `images`, if there are any, as they are stored."""
  images = np.asarray(arrays.get('images', ()))
  if max(images.shape[2:4], default=0) <= SMALL:
    return dict(arrays)
  singles = images.reshape(-1, *images.shape[2:])
  with concurrent.futures.ThreadPoolExecutor() as threads:
    files = list(threads.map(webp, singles))
  ends = np.cumsum([len(file) for file in files])
  return {name: array for name, array in arrays.items() if name != 'images'} | {
    'streams': np.frombuffer(b''.join(files), np.uint8),
    'ends': ends.reshape(images.shape[:2]),
  }


def unpacked(arrays: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the arrays that `packed` took; large images as WebP shows them."""
  if 'streams' not in arrays:
    return dict(arrays)
  from PIL import Image

  ends = arrays['ends']
  files = np.split(arrays['streams'], ends.reshape(-1)[:-1])
  singles = [
    np.asarray(Image.open(io.BytesIO(file.tobytes()))) for file in files
  ]
  rest = {k: v for k, v in arrays.items() if k not in ('streams', 'ends')}
  images = np.stack(singles).reshape(*ends.shape, *singles[0].shape)
  return {'images': images} | rest


def webp(image: np.ndarray, quality: int = QUALITY) -> bytes:
  """Encodes an image [H, W, 3] uint8 as a WebP file."""
  from PIL import Image

  buffer = io.BytesIO()
  single = Image.fromarray(np.ascontiguousarray(image))
  single.save(buffer, 'WEBP', quality=quality)
  return buffer.getvalue()


def write_arrays(
  path: epath.PathLike,
  arrays: Mapping[str, Any],
  save: Callable[..., None] = np.savez,
) -> None:
  """Writes an .npz file atomically, on disk or in a bucket."""
  path = epath.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as new:
    new.write_bytes(npz_bytes(arrays, save))


def npz_bytes(
  arrays: Mapping[str, Any], save: Callable[..., None] = np.savez
) -> bytes:
  """Makes the content of an .npz file."""
  buffer = io.BytesIO()
  save(buffer, **arrays)
  return buffer.getvalue()


def read_arrays(path: epath.PathLike) -> dict[str, np.ndarray]:
  """Reads the arrays of an .npz file.

  Raises:
    InputError: there is no such file, or it is incomplete, damaged or a pickle.
  """
  path = epath.Path(path)
  try:
    return npz_arrays(path.read_bytes())
  except Exception as error:  # A damaged archive raises errors of many kinds.
    raise unreadable(path, error) from error


def read_as(
  path: epath.PathLike, make: Callable[[dict[str, np.ndarray]], T]
) -> T:
  """Reads what `make` makes of the arrays of an .npz file.

  Raises:
    InputError: there is no such file, or it is not a whole one of this form.
  """
  arrays = read_arrays(path)
  try:
    return make(arrays)
  except (LookupError, ValueError, TypeError, OSError) as error:
    raise unreadable(path, error) from error


def npz_arrays(content: bytes) -> dict[str, np.ndarray]:
  """Reads the content of an .npz file, checking every byte of it."""
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    if (damaged := archive.testzip()) is not None:
      raise ValueError(f'the checksum of {damaged} differs')
  with np.load(io.BytesIO(content), allow_pickle=False) as stored:
    return dict(stored)


def unreadable(path: epath.PathLike, error: object) -> InputError:
  """Makes the error for a file of samples that cannot be read."""
  return InputError(
    f'Expected whole saved samples in {os.fspath(path)}, which is cut short or '
    f'damaged ({error}). Remove it: only the report shows these samples.'
  )
