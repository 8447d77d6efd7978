"""Files that are there whole or not at all."""

from collections.abc import Iterator
import contextlib
import os

from etils import epath


@contextlib.contextmanager
def replacing(path: epath.PathLike) -> Iterator[epath.Path]:
  """Gives a path to write to, which takes the place of `path` at the end.

  A reader, and a run that is killed at any moment, finds the old file or the
  new one, never a part. If the block raises, the old file stays.

  >>> with replacing('summary.json') as new:
  ...   new.write_text(json.dumps(summary))
  """
  path = epath.Path(path)
  new = path.parent / f'.{path.name}.new-{os.getpid()}'
  try:
    yield new
    new.replace(path)
  except BaseException:
    new.unlink(missing_ok=True)
    raise
