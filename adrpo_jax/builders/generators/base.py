"""A generator: a base as functions, with its weights on the mesh."""

from collections.abc import Callable, Mapping
import pathlib
import re
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np

from adrpo_jax import sharding
from adrpo_jax.builders.checks import lookup
from adrpo_jax.data.prompts import PromptSet
from adrpo_jax.method.record import Method
from adrpo_jax.models import attention
from adrpo_jax.models.compute import Compute
from adrpo_jax.tree_names import leaf_names
from adrpo_jax.types import ALL_ROWS, Modality, OwnRows, PyTree


class Rows(Protocol):
  """The conditions of some prompts of a set, on the host.

  Of the P prompts of a step it returns those of some rows, in shapes that
  depend on all P: processes that read different rows get one global array.
  """

  def __call__(self, ids: np.ndarray, own: OwnRows = ALL_ROWS) -> PyTree:
    """Returns the conditions [len(own), ...] of the prompts ids[own]."""


PRODUCTS = '(kernel|embedding)$'  # weights of matrix products, by name

Encode = Callable[[PromptSet], Rows]
Materialize = Callable[[PyTree, PyTree], PyTree]

REMAT_POLICIES = {
  'everything': None,
  'dots': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
  'nothing': jax.checkpoint_policies.nothing_saveable,
}


class Generator(NamedTuple):
  """A base that can be sampled from and trained.

  modality:       (method, materialize) -> Modality for training
  drawn:          (method, materialize) -> Modality whose rollout draws samples
                  of trained weights
  evaluated:      (materialize, samples per prompt) -> Modality for evaluation,
                  which measures the divergence of all methods alike
  encode:         (prompts) -> their `Rows`
  condition:      shapes of one condition
  frozen:         'reference' and the other arrays that its modality reads, on
                  the mesh
  save:           (full parameters, folder) -> the file of weights that the
                  libraries of the model load
  check_adapters: (shapes of adapters) -> None; raises InputError for those that
                  `save_adapters` could not write
  save_adapters:  (adapters, alpha/r, folder) -> the file of adapters
  identity:       a digest of the weights
  gather:         (full parameters) -> these as the microbatches of an update
                  read them, where it gathers them once for all
  id_limits:      name -> n, of arrays of samples that hold ids from 0 to n − 1
  further:        name -> like `evaluated`, for an evaluation beside it
  controls:       name -> (conditions) -> those of a control of evaluations
  """

  modality: Callable[[Method, Materialize], Modality]
  drawn: Callable[[Method, Materialize], Modality]
  evaluated: Callable[[Materialize, int], Modality]
  encode: Encode
  condition: PyTree
  frozen: dict[str, PyTree]
  save: Callable[[PyTree, pathlib.Path], pathlib.Path]
  check_adapters: Callable[[PyTree], None]
  save_adapters: Callable[[PyTree, float, pathlib.Path], pathlib.Path]
  identity: str
  gather: Callable[[PyTree], PyTree] | None = None
  id_limits: Mapping[str, int] = MappingProxyType({})
  further: Mapping[str, Callable[[Materialize, int], Modality]] = (
    MappingProxyType({})
  )
  controls: Mapping[str, Callable[[PyTree], PyTree]] = MappingProxyType({})


def refuse_prompts(prompts: PromptSet) -> Rows:
  """The encoder of a base that has shapes alone."""
  raise NotImplementedError(f'Nothing reads {len(prompts)} prompts here.')


def split_by_rows(mesh: jax.sharding.Mesh, rows: PyTree) -> PyTree:
  """Keeps arrays that lead with rows split over the devices by row."""
  return jax.lax.with_sharding_constraint(rows, sharding.batch_sharding(mesh))


def make_compute(config: ConfigDict, mesh: jax.sharding.Mesh) -> Compute:
  """Makes the `Compute` of a config: dtype, attention, rematerialization."""
  policy = config.compute.remat_policy
  return Compute(
    dtype=jnp.dtype(config.model.dtype),
    attention=attention.for_mesh(mesh),
    scan_layers=config.compute.scan_layers,
    remat_policy=lookup(REMAT_POLICIES, policy, 'remat_policy'),
    constrain=lambda rows: split_by_rows(mesh, rows),
  )


def for_a_loop(mesh: jax.sharding.Mesh, dtype: Any, full: PyTree) -> PyTree:
  """Casts the weights of products and gathers them, once for a whole loop."""

  def cast(name: str, leaf: Any) -> Any:
    return leaf.astype(dtype) if re.search(PRODUCTS, name) else leaf

  named = leaf_names(full)
  leaves = [cast(name, leaf) for name, leaf in named.items()]
  whole = jax.tree.unflatten(jax.tree.structure(full), leaves)
  return sharding.gathered(whole, mesh)


def shard(mesh: jax.sharding.Mesh) -> Callable[[PyTree], PyTree]:
  """Gives shapes their shardings."""

  def place(shapes: PyTree) -> PyTree:
    return sharding.abstract(shapes, sharding.tree_shardings(shapes, mesh))

  return place


def replicate(mesh: jax.sharding.Mesh) -> Callable[[PyTree], PyTree]:
  """Gives shapes the sharding of a copy on every device: for small models."""

  def place(shapes: PyTree) -> PyTree:
    whole = sharding.replicated(mesh)
    return sharding.abstract(shapes, jax.tree.map(lambda _: whole, shapes))

  return place
