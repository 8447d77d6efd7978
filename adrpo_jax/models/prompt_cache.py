"""A cache of encoded prompts on disk: each prompt is encoded once for all runs.

A file holds the condition of one prompt, and its name is a digest of the text.
The name of the folder is a digest of everything that determines the numbers:
the files of the encoders, the length, the dtype. For large files this digest
covers the header, the size and blocks spread over the file rather than all of
its gigabytes.
"""

from collections.abc import Callable, Iterable, Sequence
import hashlib
import pathlib

import jax
from jax.experimental import multihost_utils
import numpy as np
from safetensors.numpy import load_file, save_file

from adrpo_jax.models.condition import Condition
from adrpo_jax.system.files import replacing
from adrpo_jax.types import PyTree

Encode = Callable[[Sequence[str]], Iterable[tuple[str, Condition]]]


class PromptCache:
  """Maps prompts to conditions; a folder stores what has been encoded."""

  def __init__(self, folder: pathlib.Path, encode: Encode):
    """Makes the cache.

    Args:
      folder: where this cache stores its files; `fingerprint` makes its name.
      encode: (texts) -> (text, condition) one by one. It is called with the
        texts that have no file yet.
    """
    self._folder, self._encode = folder, encode

  def __call__(self, texts: Sequence[str]) -> Callable[[np.ndarray], PyTree]:
    """(texts) -> (ids [N]) -> the conditions of these texts [N, ...].

    Encodes the texts that any process is missing, on all processes. Conditions
    are read when they are requested, so the set may be larger than the memory.
    """
    distinct = list(dict.fromkeys(texts))
    missing = np.array([not self._file(text).is_file() for text in distinct])
    if jax.process_count() > 1:
      missing = multihost_utils.process_allgather(missing).any(0)
    new_texts = [t for t, new in zip(distinct, missing, strict=True) if new]
    if new_texts:
      self._folder.mkdir(parents=True, exist_ok=True)
      for text, condition in self._encode(new_texts):
        with replacing(self._file(text)) as new:
          save_file(dict(condition._asdict()), new)
    files = [self._file(text) for text in texts]

    def rows(ids: np.ndarray) -> PyTree:
      stored = {i: load_file(files[i]) for i in dict.fromkeys(map(int, ids))}
      return Condition(
        *(
          np.stack([stored[int(i)][name] for i in ids])
          for name in Condition._fields
        )
      )

    return rows

  def _file(self, text: str) -> pathlib.Path:
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return self._folder / f'{digest}.safetensors'
