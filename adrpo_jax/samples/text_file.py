"""Judged answers of an evaluation, and their .npz file.

  answers [P, G], prompts, categories [P], verdicts [P, G]    text
  rewards [P, G]
  success [P, G]                                              if it is measured
  pieces [P, G, T] text, divergences [P, G, T] float32        of every token
  waves, mels, ...                        of prompts with a clip, see `clips`

Text is stored as NumPy's fixed-width unicode, which needs no pickle. Its cells
are as wide as the longest text, so the file is compressed.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from etils import epath
import numpy as np

from adrpo_jax.samples import clips as clip_arrays
from adrpo_jax.samples.clips import Clip
from adrpo_jax.samples.image_file import read_as, write_arrays


@dataclasses.dataclass(frozen=True)
class TextSamples:
  """Judged answers of an evaluation: the same prompts and keys each time.

  answers [P, G] text; prompts, categories [P] text; rewards [P, G]; success
  [P, G] bool, None for a reward that does not measure it; verdicts [P, G] text,
  the judge's words.

  Of every token: pieces [P, G, T], its text, '' behind the end of the answer;
  divergences [P, G, T], log π − log π_ref in nats, signed. The pieces of an
  answer spell it, but for tokens that `answers` leaves out, such as its end.

  clips: the sound of each of the P prompts, () of prompts without any.
  """

  answers: np.ndarray
  prompts: np.ndarray
  categories: np.ndarray
  rewards: np.ndarray
  success: np.ndarray | None
  verdicts: np.ndarray
  pieces: np.ndarray
  divergences: np.ndarray
  clips: tuple[Clip, ...] = ()


FIELDS = tuple(field.name for field in dataclasses.fields(TextSamples))
NAMES = tuple(name for name in FIELDS if name != 'clips')
REQUIRED = tuple(name for name in NAMES if name != 'success')
TEXTS = ('answers', 'prompts', 'categories', 'verdicts', 'pieces')


def write(path: epath.PathLike, samples: TextSamples) -> None:
  """Writes the file atomically.

  Raises:
    ValueError: shapes that do not belong together.
  """
  names = REQUIRED if samples.success is None else NAMES
  arrays = {name: np.asarray(getattr(samples, name)) for name in names}
  _check_shapes({name: array.shape for name, array in arrays.items()})
  arrays |= {name: arrays[name].astype(np.str_) for name in TEXTS}
  used = np.flatnonzero((arrays['pieces'] != '').any((0, 1)))
  tokens = used[-1] + 1 if len(used) else 0
  arrays['pieces'] = arrays['pieces'][..., :tokens]
  divergences = arrays['divergences'][..., :tokens]
  arrays['divergences'] = divergences.astype(np.float32)
  _check_clips(samples)
  if samples.clips:
    arrays |= clip_arrays.arrays_of(samples.clips)
  write_arrays(path, arrays, np.savez_compressed)


def read(path: epath.PathLike) -> TextSamples:
  """Reads the file.

  Raises:
    InputError: not a whole file of this form.
  """
  return read_as(path, of_arrays)


def of_arrays(arrays: Mapping[str, Any]) -> TextSamples:
  """Makes the samples that `write` took of the arrays of its file.

  Raises:
    LookupError, ValueError: arrays of another form.
  """
  names = NAMES if 'success' in arrays else REQUIRED
  _check_shapes({name: arrays[name].shape for name in names})
  samples = TextSamples(
    **{n: arrays[n] for n in REQUIRED},
    success=arrays.get('success'),
    clips=clip_arrays.of_arrays(arrays),
  )
  _check_clips(samples)
  return samples


def _check_clips(samples: TextSamples) -> None:
  clips, prompts = len(samples.clips), len(samples.prompts)
  if clips not in (0, prompts):
    raise ValueError(
      f'Expected a clip for each of {prompts} prompts or none, got {clips}.'
    )


def _check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
  groups, tokens = shapes['answers'], shapes['pieces']
  expected = dict.fromkeys(('answers', 'rewards', 'success'), groups)
  expected |= {'verdicts': groups, 'pieces': (*groups, *tokens[2:3])}
  expected |= {'prompts': groups[:1], 'categories': groups[:1]}
  expected |= {'divergences': tokens}
  wrong = [
    f'{name} {shapes[name]} for {shape}'
    for name, shape in expected.items()
    if shapes.get(name, shape) != shape
  ]
  if wrong or len(groups) != 2:
    raise ValueError(
      f'Expected answers [P, G], prompts [P] and pieces [P, G, T], got '
      f'{"; ".join(wrong) or f"answers {groups}"}.'
    )
