"""Judged images of an evaluation, and their .npz file.

  images [P, G, H, W, 3] uint8    if no side is above SMALL pixels
  streams [bytes] uint8           otherwise: WebP files, one behind the other,
  ends [P, G] int64               and the end of each sample's file in them
  prompts, categories [P]         text
  rewards, success, verdicts [P, G]

Small images are stored exactly. Twelve prompts of four samples at 1024 by 1024
pixels would take 151 MB; as WebP they look the same.
"""

from collections.abc import Callable, Mapping
import concurrent.futures
import dataclasses
import io
from typing import Any
import zipfile

from etils import epath
import numpy as np

from adrpo_jax.system.files import replacing

SMALL = 256  # pixels: longest side of an image that is stored exactly
QUALITY = 90  # of WebP: no difference is visible at full size


Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Samples:
  """Judged images of an evaluation: the same prompts and noise each time.

  images [P, G, H, W, 3] uint8; prompts, categories [P]; rewards, success and
  verdicts [P, G].
  """

  images: np.ndarray
  prompts: np.ndarray
  categories: np.ndarray
  rewards: np.ndarray
  success: np.ndarray
  verdicts: np.ndarray


NAMES = tuple(field.name for field in dataclasses.fields(Samples))


def write(path: epath.PathLike, samples: Samples) -> None:
  """Writes the file atomically."""
  write_arrays(path, packed({name: getattr(samples, name) for name in NAMES}))


def read(path: epath.PathLike) -> Samples:
  """Reads the file.

  Raises:
    LookupError, ValueError, OSError: not a file of this form.
  """
  return of_arrays(read_arrays(path))


def of_arrays(arrays: Mapping[str, Any]) -> Samples:
  """Makes the samples that `write` took of the arrays of its file."""
  arrays = unpacked(arrays)
  return Samples(**{name: arrays[name] for name in NAMES})


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
  buffer = io.BytesIO()
  save(buffer, **arrays)
  path = epath.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as new:
    new.write_bytes(buffer.getvalue())


def read_arrays(path: epath.PathLike) -> dict[str, np.ndarray]:
  """Reads the arrays of an .npz file.

  Raises:
    ValueError: the file is incomplete, or a pickle.
  """
  data = io.BytesIO(epath.Path(path).read_bytes())
  try:
    with np.load(data, allow_pickle=False) as stored:
      return dict(stored)
  except (zipfile.BadZipFile, EOFError) as error:
    raise ValueError(f'{path} is cut short or damaged: {error}') from error
