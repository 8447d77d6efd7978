"""The tensors of a Hugging Face folder: one safetensors file or a sharded set.

  NAME.safetensors              all tensors
  NAME.safetensors.index.json   {'weight_map': {tensor: file}}, and its files

A tensor is read when it is requested, by byte range.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.safetensors_trees import (
  PICKLES,
  check_finite,
  open_safetensors,
  pickle_error,
)
from adrpo_jax.system.files import visible_files

# What a damaged index raises: no JSON, nested too deeply, of another form.
_DAMAGES = (
  *(OSError, ValueError, RecursionError),
  *(KeyError, TypeError, AttributeError),
)
STEMS = ('diffusion_pytorch_model', 'model')
SPEAKERS = 'spk_dict.pt'  # voices beside the weights of Qwen2.5-Omni


class TensorFiles:
  """The tensors of all files of a model, by name.

  Attributes:
    where: the folder or file, for messages.
    shapes: name -> shape.
    dtypes: name -> dtype in the format's spelling, 'F32', 'BF16' and so on.
  """

  def __init__(
    self,
    where: pathlib.Path,
    files: dict[str, Any],
    rename: Callable[[str], str] = str,
  ):
    names: dict[str, str] = {}
    for stored in files:
      if (name := rename(stored)) in names:
        raise InputError(
          f'Expected one tensor {name} in {where}, found {names[name]} and '
          f'{stored}. The folder mixes the files of two models.'
        )
      names[name] = stored
    self.where = where
    self._stored = {n: (files[stored], stored) for n, stored in names.items()}
    self._slices = {
      n: f.get_slice(name) for n, (f, name) in self._stored.items()
    }
    self.shapes = {n: tuple(s.get_shape()) for n, s in self._slices.items()}
    self.dtypes = {n: s.get_dtype() for n, s in self._slices.items()}

  def read(self, name: str, index: tuple[slice, ...] = ()) -> np.ndarray:
    """Reads a tensor, or the slice `index` of it.

    Raises:
      InputError: a number is NaN or infinite.
    """
    if index and 0 not in self.shapes[name]:
      array = self._slices[name][index]
    else:
      file, stored = self._stored[name]
      array = file.get_tensor(stored)
    return check_finite(array, name, self.where)


@contextlib.contextmanager
def tensor_files(
  path: str | os.PathLike[str],
  stems: Sequence[str] = STEMS,
  variant: str = '',
  rename: Callable[[str], str] = str,
) -> Iterator[TensorFiles]:
  """Opens the weights in a folder, or a single .safetensors file.

  Args:
    path: the folder or the file.
    stems: the file names, without suffix, that the weights may have.
    variant: 'fp16' for files with this word in their names; '' for none.
    rename: (name in a file) -> the name that the tensor is asked for by.

  Raises:
    InputError: the folder does not exist, it has no weights or only pickles, a
      file of the set is missing, cut short or damaged, or two tensors get one
      name.
  """
  path = pathlib.Path(path)
  if path.is_file() or path.suffix in (*PICKLES, '.safetensors'):
    with open_safetensors(path) as file:
      yield TensorFiles(path, dict.fromkeys(file.keys(), file), rename)
    return
  single, index = _weight_files(path, stems, f'.{variant}' if variant else '')
  if single is not None:
    with open_safetensors(single) as file:
      yield TensorFiles(path, dict.fromkeys(file.keys(), file), rename)
    return
  weight_map = _weight_map(index)
  with contextlib.ExitStack() as stack:
    files = {
      name: stack.enter_context(open_safetensors(path / name))
      for name in sorted(set(weight_map.values()))
    }
    names = {file: set(opened.keys()) for file, opened in files.items()}
    _check_index(index, weight_map, names)
    stored = {name: files[file] for name, file in weight_map.items()}
    yield TensorFiles(path, stored, rename)


def _weight_files(
  folder: pathlib.Path, stems: Sequence[str], suffix: str
) -> tuple[pathlib.Path | None, pathlib.Path]:
  """Returns (the single file, or None, and the index of a sharded set)."""
  if not folder.is_dir():
    raise InputError(
      f'Expected a folder of weights at {folder}, found none. Check the path.'
    )
  for stem in stems:
    single = folder / f'{stem}{suffix}.safetensors'
    index = folder / f'{stem}.safetensors.index{suffix}.json'
    if single.is_file():
      return single, index
    if index.is_file():
      return None, index
  for file in visible_files(folder.iterdir()):
    if file.suffix in PICKLES and file.name != SPEAKERS:
      raise pickle_error(file)
  names = ' or '.join(f'{stem}{suffix}.safetensors' for stem in stems)
  raise InputError(
    f'Expected {names}, or its .index.json, in {folder}; found '
    f'{sorted(file.name for file in folder.iterdir())[:8]}.'
  )


def _weight_map(index: pathlib.Path) -> dict[str, str]:
  try:
    weight_map = json.loads(index.read_text(encoding='utf-8'))['weight_map']
    wrong = [f for f in weight_map.values() if pathlib.Path(f).name != f]
    if wrong:
      raise ValueError(f'{wrong[0]!r} is not the name of a file beside it')
    return dict(weight_map)
  except _DAMAGES as error:
    raise InputError(
      f"Expected {{'weight_map': {{tensor: file}}}} in {index}, got something "
      f'else ({type(error).__name__}: {str(error)[:200]}). Copy or download it '
      'again.'
    ) from error


def _check_index(
  index: pathlib.Path, weight_map: dict[str, str], names: dict[str, set[str]]
) -> None:
  absent = [
    name for name, file in weight_map.items() if name not in names[file]
  ]
  if absent:
    raise InputError(
      f'{index} says that {weight_map[absent[0]]} holds {absent[0]}, but it '
      f'does not ({len(absent)} such tensors). Index and files belong to '
      'different models: copy or download both again.'
    )
