"""Checkpoints of a run, written by orbax and verified by a manifest.

  checkpoints/00000200/   the files of orbax, meta.json and manifest.json

A checkpoint is complete when its manifest exists. Process 0 writes the manifest
last, after every process has written its part and orbax has committed the
folder. The manifest holds the size and the SHA-256 of every file. A folder
without a manifest is from an interrupted save, and a folder that differs from
its manifest was damaged later. Both are skipped, so a run can be killed at any
moment, also during a save, and continues from the newest valid checkpoint.

The state is stored as a flat table of named arrays. None and empty subtrees
are restored from the structure that the caller asks for. All processes must see
the same folder.
"""

from collections.abc import Callable
import concurrent.futures
import hashlib
import json
import os
import re
import sys
from types import TracebackType
from typing import Any, NamedTuple, Self

from etils import epath
import jax
from jax.experimental import multihost_utils
import numpy as np
import orbax.checkpoint as ocp

from adrpo_jax.errors import InputError
from adrpo_jax.system.files import below, in_bucket, replacing
from adrpo_jax.tree_names import check_same, leaf_names
from adrpo_jax.types import PyTree

_MANIFEST = 'manifest.json'
_META = 'meta.json'
_ARRAYS = 'arrays'
_STEP = re.compile(r'\d{8,}')
_UNFINISHED = re.compile(r'\d{8,}\.orbax-checkpoint-tmp.*')
_HASHING_THREADS = 4


class Restored(NamedTuple):
  """A restored checkpoint. The run continues at `step`."""

  step: int
  state: PyTree
  meta: dict[str, Any]


class Checkpoints:
  """The checkpoints in a folder. Every process must make the same calls.

  >>> with Checkpoints(workdir / 'checkpoints') as checkpoints:
  ...   restored = checkpoints.restore(abstract)  # shapes with shardings
  ...   checkpoints.save(1, state, {'seed': 0})
  """

  def __init__(self, folder: epath.PathLike, keep: int = 2) -> None:
    """Touches nothing yet. `keep` newest ones stay, at least two."""
    if keep < 2:
      raise InputError(
        f'Expected to keep at least 2 checkpoints, got {keep}. With one, '
        'nothing is left if the newest is damaged.'
      )
    self._folder = epath.Path(
      folder if in_bucket(folder) else os.path.abspath(folder)
    )
    self._keep = keep
    self._orbax = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
    self._thread = concurrent.futures.ThreadPoolExecutor(1, 'checkpoint')
    self._pending: concurrent.futures.Future[int] | None = None
    self._own: int | None = None  # the last step saved or restored here
    self._damaged: set[int] = set()  # known to process 0 only

  def __enter__(self) -> Self:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.close()

  def steps(self) -> list[int]:
    """Returns the steps of complete checkpoints, oldest first, unverified."""
    if not self._folder.exists():
      return []
    paths = (p for p in self._folder.iterdir() if _STEP.fullmatch(p.name))
    return sorted(int(p.name) for p in paths if (p / _MANIFEST).exists())

  def save(self, step: int, state: PyTree, meta: dict[str, Any]) -> None:
    """Copies `state` to the host, then writes it in the background.

    It first waits for the previous save. A step that was just saved or restored
    is not written again. Files of interrupted saves are removed.

    Args:
      step: number of completed steps; names the checkpoint.
      state: a pytree of arrays (raw PRNG keys only). The caller may donate it
        as soon as this method returns.
      meta: values that JSON can store, taken from process 0.

    Raises:
      InputError: the folder holds a later checkpoint that was not restored.
    """
    self.wait()
    if step == self._own:
      return
    written_meta = json.dumps(meta)
    latest = _from_process_0(self._make_room)
    if latest >= step:
      raise InputError(
        f'Expected no checkpoint at or after step {step} in {self._folder}, '
        f'found step {latest}. Call restore() to continue from there, or use '
        'another folder.'
      )
    arrays = {name: _array(leaf) for name, leaf in leaf_names(state).items()}
    path = self._path(step)
    self._orbax.save(path, ocp.args.PyTreeSave({_ARRAYS: arrays}))
    self._pending = self._thread.submit(self._finish, step, written_meta)

  def wait(self) -> None:
    """Returns when the last save is complete, and raises its errors."""
    pending, self._pending = self._pending, None
    if pending is not None:
      self._own = pending.result()

  def close(self) -> None:
    """Completes the last save."""
    try:
      self.wait()
    finally:
      self._thread.shutdown()
      self._orbax.close()

  def restore(self, abstract_state: PyTree) -> Restored | None:
    """Restores the newest valid checkpoint; returns None if there is none.

    Damaged checkpoints are reported on stderr and skipped. The folder is only
    read.

    Args:
      abstract_state: the structure to restore, of `jax.ShapeDtypeStruct`. A
        leaf with a sharding becomes a global array with that sharding, whatever
        devices saved it. A leaf without one becomes a NumPy array.

    Raises:
      InputError: the checkpoint has other arrays, shapes or dtypes.
    """
    self.wait()
    step = _from_process_0(self._newest_whole)
    if step < 0:
      return None
    path = self._path(step)
    wanted = leaf_names(abstract_state)
    stored = self._orbax.metadata(path).item_metadata.tree[_ARRAYS]
    check_same(_described(wanted), _described(stored), f'The checkpoint {path}')
    arrays = self._orbax.restore(
      path,
      ocp.args.PyTreeRestore(
        restore_args={
          _ARRAYS: {name: _restore_args(leaf) for name, leaf in wanted.items()}
        }
      ),
    )[_ARRAYS]
    self._own = step
    return Restored(
      step,
      jax.tree.unflatten(
        jax.tree.structure(abstract_state), [arrays[name] for name in wanted]
      ),
      json.loads((path / _META).read_text()),
    )

  def _path(self, step: int) -> epath.Path:
    return self._folder / f'{step:08d}'

  def _newest_whole(self) -> int:
    """Process 0: returns the newest step with valid files, −1 if none is."""
    steps = self.steps()
    for step in reversed(steps):
      problem = damage(self._path(step))
      if problem is None:
        return step
      self._damaged.add(step)
      older = [s for s in steps if s < step]
      turn = f'trying step {older[-1]}' if older else 'no older one is left'
      print(
        f'WARNING: the checkpoint {self._path(step)} is damaged and skipped '
        f'({problem}); {turn}.',
        file=sys.stderr,
        flush=True,
      )
    return -1

  def _make_room(self) -> int:
    """Process 0: removes incomplete and damaged checkpoints.

    Returns the latest remaining step, −1 without one.
    """
    self._folder.mkdir(parents=True, exist_ok=True)
    whole = [s for s in self.steps() if s not in self._damaged]
    for path in self._folder.iterdir():
      finished = _STEP.fullmatch(path.name) and int(path.name) in whole
      ours = _STEP.fullmatch(path.name) or _UNFINISHED.fullmatch(path.name)
      if ours and not finished:
        _remove(path)
    self._damaged.clear()
    return whole[-1] if whole else -1

  def _finish(self, step: int, meta: str) -> int:
    """Background: waits for orbax, writes the manifest, removes old steps."""
    self._orbax.wait_until_finished()
    if jax.process_index() == 0:
      path = self._path(step)
      (path / _META).write_text(meta)
      _seal(path)
      for old in self.steps()[: -self._keep]:
        _remove(self._path(old))
    return step


def damage(path: epath.PathLike) -> str | None:
  """Describes the damage of a checkpoint's files; None if there is none."""
  path = epath.Path(path)
  try:
    manifest = json.loads((path / _MANIFEST).read_text())
    files = {str(name): (e[0], e[1]) for name, e in manifest['files'].items()}
  except FileNotFoundError:
    return f'no {_MANIFEST}'
  except (ValueError, LookupError, TypeError, AttributeError):
    return f'{_MANIFEST} cannot be read'
  if _META not in files:
    return f'{_MANIFEST} lists no {_META}'
  for name, (size, _) in files.items():
    if not (path / name).exists():
      return f'{name} is missing'
    actual = (path / name).stat().length
    if actual != size:
      return f'{name} has {actual} bytes instead of {size}'
  with concurrent.futures.ThreadPoolExecutor(_HASHING_THREADS) as threads:
    digests = threads.map(_sha256, [path / name for name in files])
    for (name, (_, digest)), actual in zip(files.items(), digests, strict=True):
      if actual != digest:
        return f'{name} has changed: its SHA-256 differs from the manifest'
  return None


def _seal(path: epath.Path) -> None:
  """Writes the manifest atomically."""
  files = sorted(below(path))
  with concurrent.futures.ThreadPoolExecutor(_HASHING_THREADS) as threads:
    digests = list(threads.map(_sha256, files))
  entries = {
    str(file.relative_to(path)): [file.stat().length, digest]
    for file, digest in zip(files, digests, strict=True)
  }
  with replacing(path / _MANIFEST) as new:
    new.write_text(json.dumps({'step': int(path.name), 'files': entries}))


def _sha256(file: epath.Path) -> str:
  with file.open('rb') as stream:
    return hashlib.file_digest(stream, 'sha256').hexdigest()


def _remove(path: epath.Path) -> None:
  """Removes a checkpoint, its manifest first.

  An interrupted removal then leaves no folder that looks complete.
  """
  (path / _MANIFEST).unlink(missing_ok=True)
  path.rmtree()


def _from_process_0(function: Callable[[], int]) -> int:
  """Returns the number that process 0 computes, on all processes (barrier)."""
  answer = function() if jax.process_index() == 0 else 0
  return int(multihost_utils.broadcast_one_to_all(np.int32(answer)))


def _array(leaf: Any) -> jax.Array | np.ndarray:
  return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def _described(leaves: dict[str, Any]) -> dict[str, str]:
  return {n: f'{x.dtype} {list(x.shape)}' for n, x in leaves.items()}


def _restore_args(leaf: jax.ShapeDtypeStruct) -> ocp.RestoreArgs:
  if getattr(leaf, 'sharding', None) is None:
    return ocp.RestoreArgs(restore_type=np.ndarray, dtype=leaf.dtype)
  return ocp.ArrayRestoreArgs(
    sharding=leaf.sharding, global_shape=leaf.shape, dtype=leaf.dtype
  )
