"""The other processes of a run: when one ends, the rest must not wait for it.

A collective waits for all processes, on some devices without end. Therefore
each process counts up a number of its own in the key-value store of
`jax.distributed`, and a thread looks at the numbers of the others.
"""

from collections.abc import Callable, Iterator
import contextlib
import threading
import time
from typing import Protocol

import jax
from jax._src import distributed

INTERVAL = 5.0  # seconds between two counts of a process
LIMIT = 40.0  # seconds without a count after which it is taken for dead
HEARTBEAT = (
  50  # seconds until the service of JAX ends the others, at the latest
)
_FOLDER = 'adrpo_jax/alive'
_DONE, _FAILED = 'done', 'failed'


def of_lost_peer(error: BaseException) -> bool:
  """Returns True for a collective that failed since a process has ended."""
  lost = ('Gloo', 'Connection closed by peer', 'UNAVAILABLE')
  return isinstance(error, jax.errors.JaxRuntimeError) and any(
    words in str(error) for words in lost
  )


class Store(Protocol):
  """What is used of the client of `jax.distributed`."""

  def key_value_set(
    self, key: str, value: str, allow_overwrite: bool = False
  ) -> None: ...

  def key_value_dir_get(self, key: str) -> list[tuple[str, str]]: ...


@contextlib.contextmanager
def watched_peers(lost: Callable[[int], None]) -> Iterator[None]:
  """Calls `lost(process)` in a thread if another process of the run ends early.

  A process that leaves its block by an error counts as one that has ended,
  since it takes part in nothing any more. Process 0, which serves the store,
  leaves a little later, so that the others learn of it.
  """
  store = distributed.global_state.client
  if store is None:
    yield
    return
  finished = threading.Event()
  watch = Watch(store, distributed.global_state.process_id, lost)
  thread = threading.Thread(
    target=watch.until, args=(finished,), daemon=True, name='peers'
  )
  thread.start()
  try:
    yield
  except BaseException:
    finished.set()
    watch.tell(_FAILED)
    watch.wait_for_the_others()
    raise
  finished.set()
  watch.tell(_DONE)


class Watch:
  """Tells the store that this process is alive, and looks at the others."""

  def __init__(
    self,
    store: Store,
    process: int,
    lost: Callable[[int], None],
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    self._store, self._process = store, process
    self._lost, self._clock = lost, clock
    self._count = 0
    self._seen: dict[int, tuple[str, float]] = {}

  def tell(self, value: str) -> None:
    """Writes a value that the others see."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):
      self._store.key_value_set(
        f'{_FOLDER}/{self._process}', value, allow_overwrite=True
      )

  def look(self) -> int | None:
    """Counts up and returns a process that has ended, None without one."""
    self._count += 1
    self.tell(str(self._count))
    try:
      values = self._store.key_value_dir_get(_FOLDER)
    except jax.errors.JaxRuntimeError:  # Process 0 serves the store.
      return 0
    now = self._clock()
    for key, value in values:
      process = int(key.rpartition('/')[2])
      before, since = self._seen.get(process, ('', now))
      if value != before:
        self._seen[process] = (value, now)
      elif value != _DONE and now - since > LIMIT:
        return process
      if value == _FAILED:
        return process
    return None

  def until(self, finished: threading.Event) -> None:
    """Looks every few seconds until the event is set or a process is lost."""
    while not finished.wait(INTERVAL):
      if (process := self.look()) is not None and not finished.is_set():
        self.wait_for_the_others()
        self._lost(process)
        return

  def wait_for_the_others(self) -> None:
    """Process 0 waits until the others have looked once more."""
    if self._process == 0:
      time.sleep(INTERVAL + 1)
