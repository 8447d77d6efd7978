"""Tables that map our weights to the tensors of Hugging Face files.

A row of a model's table has our leaf, their tensor and the change of axes:

  Row('params/context_embedder/dense/kernel', 'context_embedder.weight', LINEAR)
  Row('params/blocks_(?P<first>\\d+)/to_q/dense/kernel',
      'transformer_blocks.{layer}.attn.to_q.weight', LINEAR)

The leading axis of a stack counts its layers, and `first` is the number of its
first layer. Weights are loaded directly into their shards: a process reads only
the shards of its own devices, one layer at a time.
"""

from collections.abc import Callable, Iterator, Sequence
import re
from typing import NamedTuple

import jax
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.models.files.safetensors_trees import (
  dtype_kind,
  read_leaf,
  stored_dtype_kind,
)
from adrpo_jax.models.files.tensor_files import TensorFiles
from adrpo_jax.tree_names import check_same, leaf_names
from adrpo_jax.types import PyTree

# The ends of the names that GPTQ, AWQ, bitsandbytes and FP8 give to tensors.
PACKED = re.compile(
  r'\.(qweight|qzeros|g_idx|weight_packed|SCB|weight_scale(_inv)?|'
  r'weight\.(absmax|quant_map|quant_state\..*))$'
)
Shape = tuple[int, ...]
Index = tuple[slice, ...]


class Axes(NamedTuple):
  """ours = theirs.transpose(order).reshape(shape of ours).

  order: the order of their axes; None leaves it unchanged.
  unfolded: maps our shape to the shape before the reshape; None if there is no
    reshape.
  """

  order: tuple[int, ...] | None = None
  unfolded: Callable[[Shape], Shape] | None = None


SAME = Axes()  # biases, norms, embeddings
LINEAR = Axes((1, 0))  # [out, in] -> [in, out]
CONV1D = Axes((2, 1, 0))  # [out, in, t] -> [t, in, out]
CONV2D = Axes((2, 3, 1, 0))  # [out, in, h, w] -> [h, w, in, out]
# A 1×1 convolution in the file, a dense layer here.
CONV1X1 = Axes((2, 3, 1, 0), lambda ours: (1, 1, *ours))


def patches(size: int) -> Axes:
  """A size×size convolution with this stride -> a dense layer on patches."""
  return Axes((2, 3, 1, 0), lambda ours: (size, size, -1, ours[-1]))


class Row(NamedTuple):
  """Maps the leaves that match a pattern to the tensors of a file.

  ours: pattern of a whole leaf name. A group named `first` says that the leaf
    is a stack of layers.
  theirs: name of the tensor; it may contain {layer} and the names of the
    pattern's other groups.
  axes: the change of axes.
  part: (i, n): our leaf is the i-th of n equal parts of their tensor along its
    first axis (a fused query, key and value).
  """

  ours: str
  theirs: str
  axes: Axes = SAME
  part: tuple[int, int] = (0, 1)


def linear(ours: str, theirs: str, axes: Axes = LINEAR) -> tuple[Row, Row]:
  """The rows of a `layers.Linear`."""
  return (
    Row(f'{ours}/dense/kernel', f'{theirs}.weight', axes),
    Row(f'{ours}/dense/bias', f'{theirs}.bias'),
  )


def conv(ours: str, theirs: str, axes: Axes = CONV2D) -> tuple[Row, Row]:
  """The rows of a convolution."""
  return (
    Row(f'{ours}/kernel', f'{theirs}.weight', axes),
    Row(f'{ours}/bias', f'{theirs}.bias'),
  )


def norm(ours: str, theirs: str) -> tuple[Row, Row]:
  """The rows of a norm, with a bias or without."""
  return (
    Row(f'{ours}/scale', f'{theirs}.weight'),
    Row(f'{ours}/bias', f'{theirs}.bias'),
  )


class Source(NamedTuple):
  """The tensors that a leaf is read from: one, or one for each layer."""

  names: tuple[str, ...]
  stacked: bool
  axes: Axes
  part: tuple[int, int]


def sources(rows: Sequence[Row], shapes: PyTree) -> dict[str, Source]:
  """Returns leaf name -> `Source` for every leaf of `shapes`.

  Raises:
    ValueError: no row matches a leaf. This is an error in the table, not in a
      file.
  """
  table = {}
  for name, leaf in leaf_names(shapes).items():
    source = next(_matching(rows, name, leaf.shape), None)
    if source is None:
      raise ValueError(f'No row of the weight table matches {name}.')
    table[name] = source
  return table


def load(
  files: TensorFiles,
  rows: Sequence[Row],
  shapes: PyTree,
  ignored: str = r'(?!)',
) -> PyTree:
  """Reads the tree that `shapes` describes from Hugging Face files.

  Args:
    files: see `tensor_files`.
    rows: the model's table.
    shapes: a pytree of `jax.ShapeDtypeStruct`. Leaves with a sharding become
      global arrays with this sharding, the others NumPy arrays, both in the
      requested dtype.
    ignored: pattern of the files' tensors that this package does not use.

  Raises:
    InputError: tensors are quantized; or missing, unexpected, or of another
      shape or kind of numbers. The message names all of them.
  """
  _check_plain(files)
  leaves, table = leaf_names(shapes), sources(rows, shapes)
  check_same(
    {
      name: f'{dtype_kind(leaves[ours].dtype)} {list(shape)}'
      for ours, source in table.items()
      for name, shape in _their_shapes(source, leaves[ours].shape).items()
    },
    {
      name: f'{stored_dtype_kind(files.dtypes[name])} {list(shape)}'
      for name, shape in files.shapes.items()
      if not re.search(ignored, name)
    },
    f'The weights in {files.where}',
  )
  arrays = [
    _assemble(files, table[name], leaf) for name, leaf in leaves.items()
  ]
  return jax.tree.unflatten(jax.tree.structure(shapes), arrays)


def to_hf(rows: Sequence[Row], tree: PyTree) -> dict[str, np.ndarray]:
  """Returns a tree as Hugging Face tensors on the host: the inverse of `load`.

  Raises:
    ValueError: a leaf is only a part of a fused tensor.
  """
  tensors: dict[str, np.ndarray] = {}
  leaves = leaf_names(tree)
  for ours, source in sources(rows, tree).items():
    if source.part != (0, 1):
      raise ValueError(f'{ours} is a part of a fused tensor.')
    leaf = np.asarray(leaves[ours])
    layers = leaf if source.stacked else leaf[None]
    for name, array in zip(source.names, layers, strict=True):
      tensors[name] = _to_their_axes(array, source.axes)
  return tensors


def _check_plain(files: TensorFiles) -> None:
  """Checks that no tensor is quantized, whatever the config says of it.

  Folders of the first GPTQ and AWQ say it in a file of their own.
  """
  name = next((name for name in files.shapes if PACKED.search(name)), None)
  if name is not None:
    raise InputError(
      f'Expected weights of plain floats in {files.where}, got {name}: the '
      'model is quantized. Take the plain release of the same model, in '
      'bfloat16, float16 or float32.'
    )


def _matching(rows: Sequence[Row], name: str, shape: Shape) -> Iterator[Source]:
  for row in rows:
    match = re.fullmatch(row.ours, name)
    if match is None:
      continue
    groups = match.groupdict()
    stacked = 'first' in groups
    first = int(groups.pop('first')) if stacked else 0
    layers = range(first, first + shape[0]) if stacked else range(1)
    names = tuple(row.theirs.format(layer=i, **groups) for i in layers)
    yield Source(names, stacked, row.axes, row.part)


def _their_shapes(source: Source, ours: Shape) -> dict[str, Shape]:
  shape = ours[1:] if source.stacked else ours
  # Without memory, however large the shape is.
  array = np.broadcast_to(np.False_, shape)
  theirs = _to_their_axes(array, source.axes).shape
  fused = (theirs[0] * source.part[1], *theirs[1:]) if theirs else theirs
  return dict.fromkeys(source.names, fused)


def _to_their_axes(array: np.ndarray, axes: Axes) -> np.ndarray:
  if axes.unfolded is not None:
    array = array.reshape(axes.unfolded(array.shape))
  if axes.order is None:
    return array
  return array.transpose(np.argsort(axes.order))


def _assemble(
  files: TensorFiles, source: Source, leaf: jax.ShapeDtypeStruct
) -> jax.Array | np.ndarray:
  def read(index: Index) -> np.ndarray:
    if not source.stacked:
      return _part(files, source.names[0], source, leaf.shape, index)
    layers = [
      _part(files, name, source, leaf.shape[1:], index[1:])
      for name in source.names[index[0]]
    ]
    return np.stack(layers)

  return read_leaf(leaf, read)


def _part(
  files: TensorFiles, name: str, source: Source, shape: Shape, index: Index
) -> np.ndarray:
  """Reads `index` of one layer, in our layout, from one of their tensors."""
  order, unfolded = source.axes
  if unfolded is not None:  # Such tensors are small, and are read whole.
    return files.read(name).transpose(order).reshape(shape)[index]
  order = tuple(range(len(shape))) if order is None else order
  theirs = [index[order.index(axis)] for axis in range(len(shape))]
  number, parts = source.part
  if parts > 1:
    size = files.shapes[name][0] // parts
    start, stop, _ = theirs[0].indices(size)
    theirs[0] = slice(number * size + start, number * size + stop)
  return files.read(name, tuple(theirs)).transpose(order)
