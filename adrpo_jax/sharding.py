"""The mesh, and the sharding of arrays over its axes.

One mesh from one device to a pod, with three axes:

  data    copies of the parameters, each with its own rows of the batch
  fsdp    rows of the batch, and a share of every parameter
  tensor  a share of every parameter, and of the width it computes

Parameters follow a table of (regex, spec) rules, searched in a leaf's name; the
first that matches counts. A spec names the *trailing* axes, so that one rule
serves a kernel [D, F], a stack of them [layers, D, F] and a convolution
[h, w, D, F]. Optimizer moments end in the names of their parameters, hence
follow them.
"""

from collections.abc import Callable, Sequence
import logging
import math
import re
from typing import Any

import jax
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np

from adrpo_jax.errors import InputError
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import PyTree

Rules = Sequence[tuple[str, P]]

AXES = ('data', 'fsdp', 'tensor')
BATCH_AXES = ('data', 'fsdp')

# Projections into a layer's inner width split it over `tensor`; those out of it
# split their input, so that the pair needs one reduction.
RULES: Rules = (
  (
    r'(to_out|to_add_out|linear_2|/out|/o_proj|down_proj|/out_proj|/fc2)'
    r'(/dense)?/kernel$',
    P('tensor', 'fsdp'),
  ),
  (r'kernel$', P('fsdp', 'tensor')),
  (r'kernel/a$', P('fsdp', None)),  # LoRA's A [in, r] and B [r, out]
  (r'kernel/b$', P(None, 'fsdp')),
  (r'embedding$', P('tensor', 'fsdp')),
)

_log = logging.getLogger(__name__)


def make_mesh(
  data: int = -1,
  fsdp: int = 1,
  tensor: int = 1,
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """Makes a mesh of all devices, or of `devices`, with axis types Auto.

  `data=-1` takes the devices that the other two axes leave. With several TPU
  slices, `data` spans the slow network between them, and fsdp and tensor stay
  within one.

  Raises:
    InputError: data·fsdp·tensor is not the number of devices.
  """
  count = len(devices) if devices is not None else jax.device_count()
  wanted = f'data={data}, fsdp={fsdp}, tensor={tensor}'
  way_out = 'Choose factors of it, or leave data=-1 to take the rest.'
  if min(fsdp, tensor) < 1 or (data < 1 and data != -1):
    raise InputError(
      f'Expected positive mesh axes (data may be -1), got {wanted}.'
    )
  if data == -1:
    data = max(1, count // (fsdp * tensor))
  if data * fsdp * tensor != count:
    raise InputError(
      f'Expected mesh axes whose product is the number of devices, {count}; '
      f'got {wanted}. {way_out}'
    )
  slices = slices_of(jax.devices() if devices is None else devices)
  if slices > 1:
    if data % slices:
      raise InputError(
        f'Expected mesh.data to be a multiple of the {slices} slices, got '
        f'{wanted}. Parameters are shared within a slice: take a smaller fsdp.'
      )
    placed = mesh_utils.create_hybrid_device_mesh(
      (data // slices, fsdp, tensor),
      (slices, 1, 1),
      devices,
      allow_split_physical_axes=True,
    )
  else:
    # An axis of 16 on a torus of 8 × 8 takes one side of it and half the other.
    placed = mesh_utils.create_device_mesh(
      (data, fsdp, tensor), devices, allow_split_physical_axes=True
    )
  return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * 3)


def slices_of(devices: Sequence[jax.Device]) -> int:
  """Returns the number of slices that devices are on; 1 without any."""
  return len({getattr(device, 'slice_index', 0) for device in devices})


def replicated(mesh: Mesh) -> NamedSharding:
  """The whole array on every device."""
  return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """The leading axis, P or B, over data × fsdp; the others whole."""
  return NamedSharding(mesh, P(BATCH_AXES))


def tree_shardings(
  shapes: PyTree,
  mesh: Mesh,
  rules: Rules = RULES,
  report: Callable[[str], None] = _log.warning,
) -> PyTree:
  """Returns a sharding for every leaf of `shapes`, which has a `.shape`.

  A leaf that no rule matches is replicated. A mesh axis that does not divide
  its dimension is dropped there; process 0 tells `report` so, in one line.

  Raises:
    InputError: a rule names an axis that the mesh does not have.
  """
  axes = set(mesh.axis_names)
  for pattern, spec in rules:
    unknown = {axis for entry in spec for axis in _axes(entry)} - axes
    if unknown:
      raise InputError(
        f'The sharding rule {pattern!r} names {sorted(unknown)}, but the mesh '
        f'has the axes {mesh.axis_names}. Use one of those.'
      )
  named = leaf_names(shapes)
  dropped: list[str] = []
  shardings = [
    NamedSharding(mesh, _spec(name, leaf.shape, mesh, rules, dropped))
    for name, leaf in named.items()
  ]
  if dropped and jax.process_index() == 0:
    shown = '; '.join(dropped[:5]) + ('; ...' if len(dropped) > 5 else '')
    report(
      f'{len(dropped)} dimensions of {len(named)} arrays stay whole: {shown}'
    )
  return jax.tree.unflatten(jax.tree.structure(shapes), shardings)


def gathered(params: PyTree, mesh: Mesh) -> PyTree:
  """Gathers parameters along fsdp in a jitted function; tensor stays split.

  A loop that reads them many times, such as once for every token of a rollout,
  then sends them once.
  """
  rules = tuple(
    (pattern, P(*(None if axis == 'fsdp' else axis for axis in spec)))
    for pattern, spec in RULES
  )
  layout = tree_shardings(params, mesh, rules, report=_log.debug)
  return jax.lax.with_sharding_constraint(params, layout)


def _spec(
  name: str,
  shape: tuple[int, ...],
  mesh: Mesh,
  rules: Rules,
  dropped: list[str],
) -> P:
  """Returns the spec of the first matching rule, as far as `shape` allows."""
  rule = next((spec for regex, spec in rules if re.search(regex, name)), P())
  if len(rule) > len(shape):
    if shape:
      dropped.append(f'{name} {list(shape)} has fewer axes than {rule}')
    return P()
  entries: list[Any] = [None] * (len(shape) - len(rule)) + list(rule)
  for i, entry in enumerate(entries):
    ways = math.prod(mesh.shape[axis] for axis in _axes(entry))
    if shape[i] % ways:
      dropped.append(f'{name} {list(shape)}: {entry}={ways} on axis {i}')
      entries[i] = None
  while entries and entries[-1] is None:  # P(None) and P() are two jit keys
    entries.pop()
  return P(*entries)


def _axes(entry: str | Sequence[str] | None) -> tuple[str, ...]:
  if entry is None:
    return ()
  return (entry,) if isinstance(entry, str) else tuple(entry)


def abstract(shapes: PyTree, shardings: PyTree) -> PyTree:
  """Attaches shardings to shapes, for a checkpoint to be restored into."""
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    shardings,
  )


def put_tree(tree: PyTree, shardings: PyTree) -> PyTree:
  """Makes global arrays of host arrays that every process holds whole.

  Each process takes its part of its own copy. `jax.device_put` would first send
  every array whole to all processes to compare them.
  """

  def put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    leaf = np.asarray(leaf)
    return jax.make_array_from_callback(
      leaf.shape, sharding, lambda index: leaf[index]
    )

  return jax.tree.map(put, tree, shardings)


def own_rows(mesh: Mesh, count: int) -> np.ndarray:
  """Returns the rows of `count` that lie on the devices of this process."""
  placed = batch_sharding(mesh).addressable_devices_indices_map((count,))
  rows = [np.arange(count)[index] for index in placed.values()]
  return np.unique(np.concatenate(rows))


def put_own_rows(mesh: Mesh, rows: PyTree) -> PyTree:
  """Puts the rows that `own_rows` names onto the mesh, split by prompt.

  Each process gives its own rows alone.
  """
  split = batch_sharding(mesh)
  return jax.tree.map(
    lambda leaf: jax.make_array_from_process_local_data(
      split, np.asarray(leaf)
    ),
    rows,
  )


def on_first_process(tree: PyTree) -> PyTree | None:
  """Returns all of a tree as NumPy arrays on process 0, None on the others.

  Every process must call it. Arrays are gathered one after the other, so that
  the other hosts never hold more than one.
  """
  first = jax.process_index() == 0

  def get(leaf: Any) -> np.ndarray | None:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
      leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf) if first else None

  host = jax.tree.map(get, tree)
  return host if first else None


def put_rows(mesh: Mesh, rows: PyTree) -> PyTree:
  """Puts arrays that lead with prompts onto the mesh, split by prompt."""
  split = batch_sharding(mesh)
  return put_tree(rows, jax.tree.map(lambda _: split, rows))
