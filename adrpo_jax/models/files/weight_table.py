"""Our names and axes of weights beside those of Hugging Face files.

A model's table has rows (our leaf, their tensor, how its axes go):

  Row('params/context_embedder/dense/kernel', 'context_embedder.weight', LINEAR)
  Row('params/blocks_(?P<first>\\d+)/to_q/dense/kernel',
      'transformer_blocks.{layer}.attn.to_q.weight', LINEAR)

In a stack of layers the leading axis counts them, and `first` is the number of
the first. Weights load straight into their shards: a process reads what its
devices hold, one layer at a time.
"""

from collections.abc import Callable, Iterator, Sequence
import re
from typing import Any, NamedTuple

import jax
import numpy as np

from adrpo_jax.models.files.safetensors_trees import (
  dtype_kind,
  stored_dtype_kind,
)
from adrpo_jax.models.files.tensor_files import TensorFiles
from adrpo_jax.tree_names import check_same, leaf_names
from adrpo_jax.types import PyTree

Shape = tuple[int, ...]
Index = tuple[slice, ...]


class Axes(NamedTuple):
  """ours = theirs.transpose(order), in the shape of ours.

  order: of their axes; None leaves them.
  unfolded: our shape -> the shape before axes are merged or dropped, where
    some are.
  """

  order: tuple[int, ...] | None = None
  unfolded: Callable[[Shape], Shape] | None = None


SAME = Axes()  # biases, norms, embeddings
LINEAR = Axes((1, 0))  # [out, in] -> [in, out]
CONV2D = Axes((2, 3, 1, 0))  # [out, in, h, w] -> [h, w, in, out]
# A 1×1 convolution that is a dense layer here.
CONV1X1 = Axes((2, 3, 1, 0), lambda ours: (1, 1, *ours))


def patches(size: int) -> Axes:
  """A size×size convolution of that stride -> a dense layer on flat patches."""
  return Axes((2, 3, 1, 0), lambda ours: (size, size, -1, ours[-1]))


class Row(NamedTuple):
  """One kind of tensor.

  ours: pattern of a whole leaf name; its first group, if named `first`, says
    that the leaf stacks layers.
  theirs: name of the tensor, with {layer} and the pattern's other groups by
    their names.
  axes: how the axes go.
  part: (i, n), where ours is the i-th of n equal parts of theirs along its
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


def conv(ours: str, theirs: str) -> tuple[Row, Row]:
  """The rows of a convolution."""
  return (
    Row(f'{ours}/kernel', f'{theirs}.weight', CONV2D),
    Row(f'{ours}/bias', f'{theirs}.bias'),
  )


def norm(ours: str, theirs: str) -> tuple[Row, Row]:
  """The rows of a norm, with a bias or without."""
  return (
    Row(f'{ours}/scale', f'{theirs}.weight'),
    Row(f'{ours}/bias', f'{theirs}.bias'),
  )


class Source(NamedTuple):
  """Where a leaf's numbers come from: a tensor, or one for each layer."""

  names: tuple[str, ...]
  stacked: bool
  axes: Axes
  part: tuple[int, int]


def sources(rows: Sequence[Row], shapes: PyTree) -> dict[str, Source]:
  """Leaf name -> its source, for every leaf of `shapes`.

  Raises:
    ValueError: the table lacks a leaf. A fault of ours, not of a file.
  """
  found = {}
  for name, leaf in leaf_names(shapes).items():
    source = next(_matching(rows, name, leaf.shape), None)
    if source is None:
      raise ValueError(f'No row of the table of weights matches {name}.')
    found[name] = source
  return found


def load(
  files: TensorFiles,
  rows: Sequence[Row],
  shapes: PyTree,
  ignored: str = r'(?!)',
) -> PyTree:
  """Reads the tree that `shapes` describes from files of the other layout.

  Args:
    files: see `tensor_files`.
    rows: the model's table.
    shapes: a pytree of `jax.ShapeDtypeStruct`. Leaves with a sharding come back
      as global arrays in it, the others as NumPy arrays, in the dtype asked
      for.
    ignored: pattern of their tensors that we have no use for.

  Raises:
    InputError: tensors missing, left over, misshapen or not of numbers of the
      same kind; all are named.
  """
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
  """The tensors of the other layout, by name, on the host. Inverse of `load`.

  Raises:
    ValueError: a fused tensor, of which a leaf is only a part.
  """
  tensors: dict[str, np.ndarray] = {}
  leaves = leaf_names(tree)
  for ours, source in sources(rows, tree).items():
    if source.part != (0, 1):
      raise ValueError(f'{ours} is a part of a fused tensor.')
    whole = np.asarray(leaves[ours])
    layers = whole if source.stacked else whole[None]
    for name, array in zip(source.names, layers, strict=True):
      tensors[name] = _backwards(array, source.axes)
  return tensors


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
  permuted = np.empty(shape, np.bool_)
  theirs = _backwards(permuted, source.axes).shape
  whole = (theirs[0] * source.part[1], *theirs[1:]) if theirs else theirs
  return dict.fromkeys(source.names, whole)


def _backwards(array: np.ndarray, axes: Axes) -> np.ndarray:
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

  def cast(index: Any) -> np.ndarray:
    return read(index).astype(leaf.dtype)

  sharding = getattr(leaf, 'sharding', None)
  if sharding is None:
    return cast((slice(None),) * len(leaf.shape))
  return jax.make_array_from_callback(leaf.shape, sharding, cast)


def _part(
  files: TensorFiles, name: str, source: Source, shape: Shape, index: Index
) -> np.ndarray:
  """`index` of one layer in our layout, read from one of their tensors."""
  order, unfolded = source.axes
  if unfolded is not None:  # Small tensors: no slices through merged axes.
    return files.read(name).transpose(order).reshape(shape)[index]
  order = tuple(range(len(shape))) if order is None else order
  theirs = [index[order.index(axis)] for axis in range(len(shape))]
  number, parts = source.part
  if parts > 1:
    size = files.shapes[name][0] // parts
    start, stop, _ = theirs[0].indices(size)
    theirs[0] = slice(number * size + start, number * size + stop)
  return files.read(name, tuple(theirs)).transpose(order)
