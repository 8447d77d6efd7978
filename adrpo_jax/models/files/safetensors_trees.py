"""Saves and loads pytrees of arrays as safetensors files, never as pickles.

The name of a tensor is the path of its leaf, 'blocks_0/to_q/dense/bias'. Files
are read by byte range: if the requested shapes have shardings, a process reads
only the shards of its own devices.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from safetensors.numpy import save_file

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import replacing
from adrpo_jax.tree_names import check_same, leaf_names
from adrpo_jax.types import PyTree

PICKLES = ('.bin', '.pt', '.pth', '.ckpt', '.pkl', '.pickle')
# The formats of numbers that are read, in the spelling of safetensors.
DTYPES = {
  **dict.fromkeys(('F64', 'F32', 'F16', 'BF16'), 'float'),
  **dict.fromkeys(('I64', 'I32', 'I16', 'I8'), 'integer'),
  **dict.fromkeys(('U64', 'U32', 'U16', 'U8'), 'integer'),
  'BOOL': 'bool',
}
AXES = 64  # of an array of NumPy, at most
_PICKLE_STARTS = (b'PK\x03\x04', b'\x80\x02', b'\x80\x03', b'\x80\x04')


def save_tree(
  path: str | os.PathLike[str],
  tree: PyTree,
  metadata: Mapping[str, str] | None = None,
) -> None:
  """Writes a tree of arrays atomically; any process can.

  Arrays that lie on the devices of several processes are gathered before, see
  `sharding.on_first_process`. The format allows only strings as metadata.
  """
  metadata = dict(metadata or {})
  wrong = [k for k, v in metadata.items() if not isinstance(v, str)]
  if wrong:
    raise InputError(
      f'Expected strings as metadata of {path}, but the values of {wrong} '
      'are of other types. Pass json.dumps(value).'
    )
  tensors = {
    name: np.asarray(leaf, order='C')  # The format requires C order.
    for name, leaf in leaf_names(tree).items()
  }
  with replacing(path) as new:
    save_file(tensors, new, metadata=metadata)


def load_tree(path: str | os.PathLike[str], shapes: PyTree) -> PyTree:
  """Reads the tree of arrays that `shapes` describes.

  Args:
    path: a .safetensors file.
    shapes: a pytree of `jax.ShapeDtypeStruct`. Leaves with a sharding become
      global arrays with this sharding, the others NumPy arrays. Floats are
      cast to the requested dtype (float16 of a file to float32, for example).

  Raises:
    InputError: the file is a pickle or incomplete, or tensors are missing,
      unexpected or of another shape. The message names all of them.
  """
  leaves = leaf_names(shapes)
  with open_safetensors(path) as file:
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    check_same(
      {n: f'{dtype_kind(x.dtype)} {list(x.shape)}' for n, x in leaves.items()},
      {
        n: f'{stored_dtype_kind(s.get_dtype())} {list(s.get_shape())}'
        for n, s in slices.items()
      },
      f'The file {path}',
    )
    arrays = []
    for name, leaf in leaves.items():
      # The format cannot slice scalars and empty tensors.
      sliceable = leaf.shape and 0 not in leaf.shape
      source = slices[name] if sliceable else file.get_tensor(name)
      arrays.append(read_leaf(leaf, source.__getitem__))
  return jax.tree.unflatten(jax.tree.structure(shapes), arrays)


def check_finite(
  array: np.ndarray, name: str, where: str | os.PathLike[str]
) -> np.ndarray:
  """Returns a tensor of a file if all of its numbers are finite.

  A model with others makes samples that no reward can judge.

  Raises:
    InputError: some are NaN or infinite.
  """
  if dtype_kind(array.dtype) == 'float' and not np.isfinite(array).all():
    broken = array.size - np.count_nonzero(np.isfinite(array))
    raise InputError(
      f'Expected finite weights in {where}, but {broken} of the {array.size} '
      f'numbers read of {name} are NaN or infinite. Copy or download the file '
      'again, or take another checkpoint of the training that made it.'
    )
  return array


def read_leaf(
  leaf: jax.ShapeDtypeStruct,
  read: Callable[[tuple[slice, ...]], np.ndarray],
) -> jax.Array | np.ndarray:
  """Reads an array in the dtype of `leaf` and, if it has one, in its sharding.

  Args:
    leaf: the shape, dtype and sharding.
    read: (index) -> the slice of the array at this index.
  """

  def cast(index: Any) -> np.ndarray:
    return np.asarray(read(index)).astype(leaf.dtype)

  sharding = getattr(leaf, 'sharding', None)
  if sharding is None:
    return cast((slice(None),) * len(leaf.shape))
  return jax.make_array_from_callback(leaf.shape, sharding, cast)


def with_dtype(shapes: PyTree, dtype: Any) -> PyTree:
  """Returns a model's shapes in another dtype; its 'constants' keep theirs."""

  def convert(path: Any, leaf: Any) -> jax.ShapeDtypeStruct:
    constant = path[0].key == 'constants'
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype if constant else dtype)

  return jax.tree_util.tree_map_with_path(convert, shapes)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
  """Reads the metadata that `save_tree` stored with the tensors."""
  with open_safetensors(path) as file:
    return dict(file.metadata() or {})


@contextlib.contextmanager
def open_safetensors(path: str | os.PathLike[str]) -> Iterator[Any]:
  """Opens a safetensors file.

  Raises:
    InputError: the file is missing, a pickle, or incomplete; or a tensor is of
      quantized or complex numbers, or has more axes than an array can have.
  """
  path = pathlib.Path(path)
  if path.suffix in PICKLES:
    raise pickle_error(path)
  if not os.path.isfile(path):  # False for names that no file can have.
    raise InputError(f'Expected a .safetensors file at {path}, found none.')
  try:
    file = safetensors.safe_open(path, framework='numpy')
  except safetensors.SafetensorError as error:
    with path.open('rb') as stream:
      if stream.read(4).startswith(_PICKLE_STARTS):
        raise pickle_error(path) from error
    raise InputError(
      f'Expected a complete safetensors file at {path}, got one of '
      f'{path.stat().st_size} bytes that is cut short or damaged ({error}). '
      'Copy or download it again.'
    ) from error
  with file:
    _check_tensors(file, path)
    yield file


def _check_tensors(file: Any, path: pathlib.Path) -> None:
  for name in file.keys():  # noqa: SIM118
    tensor = file.get_slice(name)
    dtype, axes = tensor.get_dtype(), len(tensor.get_shape())
    if dtype not in DTYPES:
      raise InputError(
        f'Expected tensors of {", ".join(DTYPES)} in {path}, but {name} is of '
        f'{dtype}. Weights of fewer bits are quantized: take the plain release '
        'of the same model.'
      )
    if axes > AXES:
      raise InputError(
        f'Expected tensors of at most {AXES} axes in {path}, but {name[:80]} '
        f'has {axes}. Copy or download the file again.'
      )


def pickle_error(path: pathlib.Path) -> InputError:
  """Makes the error for a pickle, which says why and what to do."""
  return InputError(
    f'Expected weights as .safetensors, got {path}, a pickle: loading a pickle '
    'can run any code. Use the .safetensors file of the same model, or, if you '
    'trust the source, convert it with PyTorch: '
    'safetensors.torch.save_file('
    f"torch.load('{path.name}', weights_only=True), "
    f"'{path.with_suffix('.safetensors').name}')"
  )


def dtype_kind(dtype: Any) -> str:
  """Returns 'float', 'integer' or 'bool', which a cast must not change."""
  if jnp.issubdtype(dtype, jnp.floating):
    return 'float'
  return 'bool' if dtype == np.bool_ else 'integer'


def stored_dtype_kind(dtype: str) -> str:
  """`dtype_kind` of a dtype in the format's spelling, 'BF16' or 'I64'."""
  return DTYPES[dtype]
