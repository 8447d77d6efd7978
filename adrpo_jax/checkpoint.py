"""Checkpoints of a run, written by orbax and verified by a manifest.

  checkpoints/00000200/   the files of orbax, manifest.json and meta.json

A checkpoint is complete when its meta.json exists. Process 0 writes it after
every process has written its part, orbax has committed the folder, and the
manifest has the size of every file. Then it reads the files again and adds
their SHA-256: a host that is about to be taken away may not live so long. A
folder without meta.json is from an interrupted save, and a folder that differs
from its manifest was damaged later. Both are skipped, so a run can be killed at
any moment, also during a save, and continues from the newest valid checkpoint.
A run never begins anew because all of its checkpoints are damaged.

The state is stored as a flat table of named arrays. None and empty subtrees
are restored from the structure that the caller asks for. All processes must see
the same folder.
"""

from collections.abc import Callable
import concurrent.futures
from functools import partial
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
from adrpo_jax.system import manifest
from adrpo_jax.system.files import in_bucket, replacing
from adrpo_jax.tree_names import check_same, leaf_names
from adrpo_jax.types import PyTree

_META = 'meta.json'
_ARRAYS = 'arrays'
_STEP = re.compile(r'\d{8,}')
_UNFINISHED = re.compile(r'\d{8,}\.orbax-checkpoint-tmp.*')
_NONE, _ONLY_DAMAGED = -1, -2  # in place of a step


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
    self._orbax = ocp.AsyncCheckpointer(
      ocp.PyTreeCheckpointHandler(use_compression=False)  # 1.5 times as fast.
    )
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
    paths = self._folders()
    return sorted(int(p.name) for p in paths if (p / _META).exists())

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

    Damaged checkpoints are reported on stderr and skipped for an older one. The
    folder is only read.

    Args:
      abstract_state: the structure to restore, of `jax.ShapeDtypeStruct`. A
        leaf with a sharding becomes a global array with that sharding, whatever
        devices saved it. A leaf without one becomes a NumPy array.

    Raises:
      InputError: the checkpoint has other arrays, shapes or dtypes, or all of
        the checkpoints are damaged.
    """
    self.wait()
    step = _from_process_0(self._newest_whole)
    if step == _ONLY_DAMAGED:
      raise InputError(
        f'Expected a whole checkpoint in {self._folder}, found damaged ones '
        'alone. Put one back from a copy. To do all steps again, remove that '
        'folder.'
      )
    if step == _NONE:
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

  def _folders(self) -> list[epath.Path]:
    """Returns the folders of steps, complete or not."""
    if not self._folder.exists():
      return []
    return [p for p in self._folder.iterdir() if _STEP.fullmatch(p.name)]

  def _path(self, step: int) -> epath.Path:
    return self._folder / f'{step:08d}'

  def _newest_whole(self) -> int:
    """Process 0: returns the newest step with valid files.

    It is _NONE where no save was ever complete. An interrupted one leaves a
    folder without meta.json; the next save removes it, so two are damage.
    """
    steps = self.steps()
    for step in reversed(steps):
      problem = damage(self._path(step))
      if problem is None:
        return step
      self._damaged.add(step)
      older = [s for s in steps if s < step]
      turn = f'trying step {older[-1]}' if older else 'no older one is left'
      _warn(
        f'the checkpoint {self._path(step)} is damaged and skipped '
        f'({problem}); {turn}.'
      )
    unfinished = self._folders()
    if steps or len(unfinished) > 1:
      return _ONLY_DAMAGED
    for path in unfinished:
      _warn(
        f'the save of the checkpoint {path} was interrupted; the run begins '
        'with its first step.'
      )
    return _NONE

  def _make_room(self) -> int:
    """Process 0: removes incomplete and damaged checkpoints.

    Returns the latest remaining step, _NONE without one.
    """
    self._folder.mkdir(parents=True, exist_ok=True)
    whole = [s for s in self.steps() if s not in self._damaged]
    for path in self._folder.iterdir():
      finished = _STEP.fullmatch(path.name) and int(path.name) in whole
      ours = _STEP.fullmatch(path.name) or _UNFINISHED.fullmatch(path.name)
      if ours and not finished:
        _remove(path)
    self._damaged.clear()
    return whole[-1] if whole else _NONE

  def _finish(self, step: int, meta: str) -> int:
    """Background: waits for orbax, seals the folder, removes old steps."""
    self._orbax.wait_until_finished()
    if jax.process_index() == 0:
      path, written = self._path(step), meta.encode()
      seal = partial(manifest.seal, path, later={_META: written}, step=step)
      seal(digest=manifest.no_digest)
      with replacing(path / _META) as new:
        new.write_bytes(written)
      seal()
      for old in self.steps()[: -self._keep]:
        _remove(self._path(old))
    return step


def damage(path: epath.PathLike) -> str | None:
  """Describes the damage of a checkpoint's files; None if there is none."""
  entries = manifest.entries_of(path)
  if entries is not None and _META not in entries:
    return f'{manifest.NAME} lists no {_META}'
  return manifest.damage(path)


def _warn(text: str) -> None:
  print(f'WARNING: {text}', file=sys.stderr, flush=True)


def _remove(path: epath.Path) -> None:
  """Removes a checkpoint, its meta.json first.

  An interrupted removal then leaves no folder that looks complete.
  """
  (path / _META).unlink(missing_ok=True)
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
